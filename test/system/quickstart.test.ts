import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, modelserve, TestHead } from './support/cluster.ts';
import { hasPackageIndex } from './support/package-index.ts';
import { processesWith } from './support/processes.ts';
import { ROOT } from './support/test-process.ts';

function heldOut<Row>(name: string): readonly Row[] {
  return JSON.parse(
    readFileSync(join(ROOT, 'test', 'algopkg', 'data', `${name}_heldout.json`), 'utf8'),
  ) as Row[];
}

describe("the repository's own conf.ini", () => {
  let head: TestHead;

  beforeAll(async () => {
    head = await TestHead.start({ conf: join(ROOT, 'conf.ini') });
  });

  afterAll(async () => {
    await head?.dispose();
  });

  async function ask<Result>(route: string, param: unknown): Promise<Result> {
    const answer = await fetch(head.url(route), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(param),
    });
    expect(answer.status, route).toBe(200);
    const { result } = (await answer.json()) as { result: Result };
    return result;
  }

  it('names the store, where the token lies, how workers join, and never the token', () => {
    expect(head.output).toMatch(/store: /);
    expect(head.output).toContain(`${head.stateDir}/token`);
    expect(head.output).toMatch(/modelserve worker --address 127\.0\.0\.1:\d+ --token-file/);
    expect(head.output).toContain('--host ADDRESS');
    expect(head.output).not.toContain(head.token);
  });

  it('ends with a curl line that answers', async () => {
    const [, line] = await head.says(/^ {2}(curl .*)\n/m);
    const answer = JSON.parse(execFileSync('sh', ['-c', `${line} -s`], { encoding: 'utf8' })) as {
      status: number;
    };
    expect(answer.status).toBe(1);
  });

  it('finds the entities of held-out sentences (at least 90 % exact)', async () => {
    const rows = heldOut<{ text: string; entities: readonly Record<string, unknown>[] }>('algoexample');
    let exact = 0;
    for (const { text, entities } of rows) {
      const found = await ask<readonly Record<string, unknown>[]>('extract', { text });
      if (JSON.stringify(found.map(sorted)) === JSON.stringify(entities.map(sorted))) exact += 1;
    }
    expect(exact / rows.length).toBeGreaterThan(0.9);
  });

  it('names the species of held-out irises (at least 90 %)', async () => {
    const rows = heldOut<{ species: string }>('iris');
    let right = 0;
    for (const { species, ...flower } of rows) {
      if ((await ask<{ species: string }>('iris', flower)).species === species) right += 1;
    }
    expect(right / rows.length).toBeGreaterThan(0.9);
  });

  it.skipIf(!hasPackageIndex)('reads held-out digits (at least 95 %)', async () => {
    const rows = heldOut<{ pixels: readonly number[]; digit: number }>('digits');
    const answers = await ask<readonly { digit: number }[] | { digit: readonly number[] }>('digits', {
      pixels: rows.map((row) => row.pixels),
    });
    const digits = 'digit' in answers ? answers.digit : answers.map((one) => one.digit);
    const right = rows.filter((row, index) => row.digit === digits[index]).length;
    expect(right / rows.length).toBeGreaterThan(0.95);
  });

  it('answers `modelserve call`, shows output with `modelserve logs`', async () => {
    const called = await modelserve([
      'call',
      'extract',
      '--param',
      '{"text": "Ada met Bob in Paris."}',
      ...head.client,
    ]);
    expect(called, called.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(called.stdout)).toMatchObject({ status: 1 });
    const logs = await modelserve(['logs', 'AlgoExample', '-n', '5', ...head.client]);
    expect(logs, logs.stderr).toMatchObject({ code: 0 });
    expect(logs.stdout.length).toBeGreaterThan(0);
  });

  it('leaves no process after Ctrl-C', async () => {
    head.signal('SIGINT');
    await head.ended();
    expect(head.exitCode).toBe(0);
    expect(processesWith(head.stateDir)).toEqual([]);
    expect(processesWith(`127.0.0.1:${head.storePort}`)).toEqual([]);
  });

  it('starts again from what it has, without applying anything anew', async () => {
    head.output = '';
    head.launch();
    await head.says(/^ready\b/im);
    expect(head.output).toContain('has not changed: revision 1 goes on');
    expect((await head.status()).deployments.map((one) => one.status)).not.toContain('DEPLOY_FAILED');
  });

  it('ends in order though nobody reads its output any more', async () => {
    head.leaveUnread();
    head.signal('SIGINT');
    await head.ended();
    expect(head.exitCode).toBe(0);
    expect(processesWith(head.stateDir)).toEqual([]);
  });
});

describe('mistakes at the start', () => {
  it('is refused a port of the admin API that another program has, by name', async () => {
    const [port = 0, ...rest] = await freePorts(4);
    const { createServer } = await import('node:net');
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', () => resolve()));
    const head = new TestHead([rest[0] ?? 0, port, rest[1] ?? 0], { conf: join(ROOT, 'conf.ini') });
    try {
      head.launch();
      await head.ended();
      expect(head.exitCode).toBe(2);
      expect(head.output).toContain(`port ${port}`);
      expect(head.output).toContain(`pid ${process.pid}`);
      expect(processesWith(head.stateDir)).toEqual([]);
    } finally {
      await new Promise((resolve) => other.close(resolve));
      await head.dispose();
    }
  });
});

function sorted(fields: Record<string, unknown>): readonly [string, unknown][] {
  return Object.entries(fields).sort(([left], [right]) => (left < right ? -1 : 1));
}
