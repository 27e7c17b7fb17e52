import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { tailLog } from '../../../src/lib/log-tail.ts';
import { isRunning } from '../../../src/lib/process/identity.ts';
import { signalProcess } from '../../../src/lib/process/signals.ts';
import { replicasOfEachTest } from './build.ts';
import {
  connectAsAgent,
  eventually,
  type ReplicaOptions,
  type SentRequest,
  type TestReplica,
} from './replica-harness.ts';

/** Answers what it is asked to do; `busy` computes without giving way, `wait` is asynchronous. */
const BACKEND = `
import { threadId } from 'node:worker_threads';
import { existsSync, writeFileSync } from 'node:fs';
export class EchoBackend {
  constructor(modelPath) { this.config = null; this.calls = 0; }
  async init() { this.initialised = true; }
  reconfigure(config) {
    if (config.fail) throw new Error('bad config');
    this.config = config;
  }
  health() { return this.config?.healthy ?? true; }
  shutdown() { console.log('shutdown of', threadId > 0); }
  async call(request) {
    this.calls += 1;
    const task = await request.json();
    if (task.begun) writeFileSync(task.begun, '');
    if (task.busyMs) { const end = performance.now() + task.busyMs; while (performance.now() < end); }
    if (task.until) while (!existsSync(task.until) && !request.signal.aborted) await new Promise((r) => setTimeout(r, 5));
    if (task.print) console.log(task.print);
    if (task.exit !== undefined) process.exit(task.exit);
    if (task.throwOutside) setTimeout(() => { throw new Error('nobody catches this'); });
    return { threadId, pid: process.pid, config: this.config, initialised: this.initialised, calls: this.calls, aborted: request.signal.aborted };
  }
}`;

const startWith = replicasOfEachTest();
const start = async (options: Partial<ReplicaOptions> = {}): Promise<TestReplica> =>
  await startWith({ files: { 'backend.mjs': BACKEND }, ...options });

function send(replica: TestReplica, task: object, head = {}): SentRequest {
  return replica.send({ body: JSON.stringify(task), head });
}

/** Sends a task that ends when its file is made, and waits until user code has it. */
async function sendHeld(
  replica: TestReplica,
  name: string,
): Promise<SentRequest & { release: () => Promise<void> }> {
  const folder = replica.launch.code_dir;
  const request = send(replica, { begun: `${folder}/${name}.begun`, until: `${folder}/${name}` });
  await eventually(`${name} is in user code`, () => exists(`${folder}/${name}.begun`));
  return { ...request, release: () => writeFile(`${folder}/${name}`, '') };
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

describe('a start', () => {
  it('constructs, initialises and configures, and says when it is ready', async () => {
    const replica = await start({ launch: { user_config: { level: 3 } } });
    expect(replica.states.at(-1)).toMatchObject({ phase: 'ready', max_ongoing: 8, ongoing: 0, error: null });
    expect(await replica.json({})).toMatchObject({ config: { level: 3 }, initialised: true });
    expect(replica.control.hello).toMatchObject({ replica: 'Echo-1', pid: replica.process.identity.pid });
  });

  it.each([
    [
      'a constructor that throws',
      'export class EchoBackend { constructor() { throw new RangeError("no model"); } call() {} }',
      'RangeError: no model',
    ],
    [
      'init that rejects',
      'export class EchoBackend { async init() { throw new Error("no device"); } call() {} }',
      'Error: no device',
    ],
    ['a syntax error', 'export class EchoBackend { call( }', 'SyntaxError'],
    ['a class that is missing', 'export class Other { call() {} }', 'exports no class EchoBackend'],
    ['a class without call', 'export class EchoBackend {}', 'no method call(request)'],
    ['process.exit', 'process.exit(7); export class EchoBackend {}', 'process.exit(7)'],
    [
      'an import that is missing',
      'import "not-there"; export class EchoBackend {}',
      "Cannot find package 'not-there'",
    ],
  ])('fails with %s: the state says why, and the process ends with code 1', async (_what, source, reason) => {
    const replica = await start({ files: { 'backend.mjs': source } });
    const last = replica.states.at(-1);
    expect(last?.phase).toBe('failed');
    expect(`${last?.error?.message}\n${last?.error?.traceback}`).toContain(reason);
    expect((await replica.process.exited).code).toBe(1);
    expect(await replica.log()).toContain(reason);
  });

  it('fails when one of several instances fails', async () => {
    const source = `import { threadId } from 'node:worker_threads';
      export class EchoBackend { constructor() { if (threadId === 2) throw new Error('second'); } call() {} }`;
    const replica = await start({ files: { 'backend.mjs': source }, launch: { concurrency: 2 } });
    expect(replica.states.at(-1)?.error?.message).toContain('second');
  });
});

describe('while user code computes', () => {
  it('requests beyond max_ongoing are refused, controls answered and beats sent', async () => {
    const replica = await start({ launch: { max_ongoing: 2 } });
    const busy = send(replica, { busyMs: 3_000 });
    let isBusy = true;
    void busy.answer.then(() => {
      isBusy = false;
    });
    const waiting = send(replica, {});
    const refused = await send(replica, {}).answer;
    expect([refused.kind, refused.reason]).toEqual(['refused', 'full']);
    const beats = replica.beats();
    expect(await replica.control.control({ op: 'dump_stacks' }, 5_000)).toEqual({ ok: true });
    expect(isBusy).toBe(true);
    expect(await replica.log()).toMatch(/2 requests\n.*in user code\n.*not in user code/);
    expect((await Promise.all([busy.answer, waiting.answer])).map((answer) => answer.head?.status)).toEqual([
      200, 200,
    ]);
    expect(replica.beats() - beats).toBeGreaterThanOrEqual(1);
  });

  it('a request for another replica is refused', async () => {
    const replica = await start();
    const answer = await send(replica, {}, { replica: 'Echo-2' }).answer;
    expect([answer.kind, answer.reason]).toEqual(['refused', 'unknown_replica']);
  });

  it('as many calls run at once as there are instances, each in a thread of its own', async () => {
    const replica = await start({ launch: { concurrency: 3 } });
    const held = await Promise.all(['a', 'b', 'c'].map((name) => sendHeld(replica, name)));
    await Promise.all(held.map((request) => request.release()));
    const answers = await Promise.all(held.map((request) => request.answer));
    const threads = answers.map((answer) => JSON.parse(answer.body.toString()).threadId);
    expect(new Set(threads).size).toBe(3);
  });

  it('a request whose deadline passes before its turn fails, and never reaches user code', async () => {
    const replica = await start();
    const held = await sendHeld(replica, 'a');
    const late = await send(replica, {}, { timeout_ms: 50 }).answer;
    expect([late.kind, late.reason]).toEqual(['failed', 'DEADLINE']);
    await held.release();
    await held.answer;
    expect(await replica.json({})).toMatchObject({ calls: 2 });
  });
});

describe('a cancelled request', () => {
  it('is dropped while it waits', async () => {
    const replica = await start();
    const held = await sendHeld(replica, 'a');
    send(replica, {}).stream.cancel();
    await held.release();
    await held.answer;
    expect(await replica.json({})).toMatchObject({ calls: 2 });
  });

  it('aborts its signal while it runs', async () => {
    const replica = await start();
    const held = await sendHeld(replica, 'a');
    held.stream.cancel();
    expect(await replica.json({})).toMatchObject({ calls: 2, aborted: false });
  });

  it('ends a streamed answer: its finally runs and the instance is free', async () => {
    const source = `export class EchoBackend { async *call(request) {
      if (request.path !== '/endless') { yield 'next'; return; }
      try { for (;;) yield new Uint8Array(65536); } finally { console.log('generator closed'); } } }`;
    const replica = await start({ files: { 'backend.mjs': source } });
    let chunks = 0;
    const endless = replica.send({
      head: { path: '/endless' },
      onData: (chunk) => {
        chunks += 1;
        return chunk.length;
      },
    });
    await eventually('chunks come', () => chunks > 40);
    endless.stream.cancel();
    expect((await replica.send().answer).body.toString()).toBe('next');
    expect(await replica.log()).toContain('generator closed');
  });

  it('is what a closed connection leaves', async () => {
    const replica = await start();
    await sendHeld(replica, 'a');
    replica.channel.close();
    await eventually('nothing is ongoing', async () => {
      const probe = await connectAsAgent(replica.launch, () => {});
      probe.close();
      return probe.hello.state.ongoing === 0;
    });
  });
});

describe('reconfigure', () => {
  it('changes every instance in place, between calls', async () => {
    const replica = await start({ launch: { concurrency: 2 } });
    const held = await sendHeld(replica, 'a');
    const applied = replica.control.control({ op: 'reconfigure', config: { level: 2 } }, 5_000);
    expect(await replica.json({})).toMatchObject({ pid: replica.process.identity.pid });
    await held.release();
    expect(JSON.parse((await held.answer).body.toString()).config).toBeNull();
    expect(await applied).toEqual({ ok: true });
    const both = await Promise.all([sendHeld(replica, 'b'), sendHeld(replica, 'c')]);
    await Promise.all(both.map((request) => request.release()));
    for (const request of both) {
      expect(JSON.parse((await request.answer).body.toString())).toMatchObject({
        config: { level: 2 },
        pid: replica.process.identity.pid,
      });
    }
  });

  it('says what the class threw, and what is not supported', async () => {
    const replica = await start();
    const failed = await replica.control.control({ op: 'reconfigure', config: { fail: true } }, 5_000);
    expect(failed).toMatchObject({ ok: false, error: expect.stringContaining('Error: bad config') });
    const plain = await start({ files: { 'backend.mjs': 'export class EchoBackend { call() {} }' } });
    const unsupported = await plain.control.control({ op: 'reconfigure', config: 1 }, 5_000);
    expect(unsupported).toMatchObject({ ok: false, unsupported: true });
  });
});

describe('limits and health', () => {
  it('max_ongoing changes in place, concurrency does not', async () => {
    const replica = await start();
    expect(await replica.control.control({ op: 'limits', max_ongoing: 1, concurrency: 1 }, 5_000)).toEqual({
      ok: true,
    });
    const held = await sendHeld(replica, 'a');
    expect((await send(replica, {}).answer).reason).toBe('full');
    await held.release();
    for (const request of [
      { op: 'limits', max_ongoing: 1, concurrency: 2 },
      { op: 'limits', max_ongoing: 0, concurrency: 1 },
      { op: 'drain', grace_ms: -1 },
    ] as const) {
      expect(await replica.control.control(request, 5_000), JSON.stringify(request)).toMatchObject({
        ok: false,
      });
    }
  });

  it('health is what the class says', async () => {
    const replica = await start();
    expect(await replica.control.control({ op: 'health' }, 5_000)).toEqual({ ok: true });
    await replica.control.control({ op: 'reconfigure', config: { healthy: false } }, 5_000);
    expect(await replica.control.control({ op: 'health' }, 5_000)).toMatchObject({ ok: false });
  });
});

describe('the end', () => {
  it('a drain finishes what runs, refuses what comes, calls shutdown and exits 0', async () => {
    const replica = await start();
    const held = await sendHeld(replica, 'a');
    expect(await replica.control.control({ op: 'drain', grace_ms: 20_000 }, 5_000)).toEqual({ ok: true });
    await eventually('it drains', () => replica.states.at(-1)?.phase === 'draining');
    await eventually('the ingress sees it', () => !replica.channel.isReady);
    expect((await send(replica, {}).answer).reason).toBe('draining');
    await held.release();
    expect((await held.answer).head?.status).toBe(200);
    expect((await replica.process.exited).code).toBe(0);
    expect(await replica.log()).toContain('shutdown of true');
    expect(await exists(replica.launch.socket)).toBe(false);
  });

  it('a drain cuts off what is left after the grace', async () => {
    const replica = await start();
    const held = await sendHeld(replica, 'a');
    const waiting = send(replica, {});
    await replica.control.control({ op: 'drain', grace_ms: 20_000 }, 5_000);
    await replica.control.control({ op: 'drain', grace_ms: 50 }, 5_000);
    expect((await held.answer).reason).toBe('REPLICA_STOPPED');
    const untouched = await waiting.answer;
    expect([untouched.kind, untouched.reason]).toEqual(['refused', 'draining']);
    expect((await replica.process.exited).code).toBe(0);
  });

  it('SIGTERM drains', async () => {
    const replica = await start();
    signalProcess(replica.process.identity.pid, 'SIGTERM');
    expect((await replica.process.exited).code).toBe(0);
    expect(await replica.log()).toContain('shutdown of true');
  });

  it.each([
    ['process.exit in a call', { exit: 3 }, 'process.exit(3)'],
    ['an error that nobody catches', { throwOutside: true }, 'nobody catches this'],
  ])('%s ends the replica with the reason', async (_what, task, reason) => {
    const replica = await start();
    const request = send(replica, task);
    expect((await replica.process.exited).code).toBe(1);
    expect(replica.states.at(-1)?.error?.message).toContain(reason);
    expect(await replica.log()).toContain(reason);
    if (_what.startsWith('process.exit')) expect((await request.answer).kind).toBe('lost');
  });

  it('shutdown may end its thread: that is no failure', async () => {
    const source = 'export class EchoBackend { call() {} shutdown() { process.exit(4); } }';
    const replica = await start({ files: { 'backend.mjs': source } });
    await replica.control.control({ op: 'drain', grace_ms: 1_000 }, 5_000);
    expect((await replica.process.exited).code).toBe(0);
  });

  it('a cancelled call may end its thread: the reason is kept', async () => {
    const source = `export class EchoBackend { call(request) {
      console.log('called');
      return new Promise(() => request.signal.addEventListener('abort', () => process.exit(5))); } }`;
    const replica = await start({ files: { 'backend.mjs': source } });
    const request = send(replica, {});
    await eventually('it is in user code', async () => (await replica.log()).includes('called'));
    request.stream.cancel();
    expect((await replica.process.exited).code).toBe(1);
    expect(replica.states.at(-1)?.error?.message).toContain('process.exit(5)');
  });

  it('a replica that no agent claims ends itself', async () => {
    const replica = await start({ launch: { orphan_timeout_s: 0.2 } });
    replica.control.close();
    expect((await replica.process.exited).code).toBe(0);
    expect(await replica.log()).toContain('no agent has been connected');
    expect(isRunning(replica.process.identity)).toBe(false);
  });
});

describe('the log', () => {
  it('has the output of user code, and is rotated within its limits', async () => {
    const replica = await start({ launch: { log_max_bytes: 2_000, log_files: 3 } });
    const { log } = replica.launch;
    for (const name of ['first', 'second', 'third', 'fourth']) {
      await replica.json({ print: `${name} ${'x'.repeat(2_500)}` });
      await eventually('the log is rotated', async () => (await stat(log)).size < 2_000);
    }
    const files = (await readdir(replica.launch.code_dir.replace(/code$/, ''))).filter((name) =>
      name.startsWith('replica.log'),
    );
    expect(files.sort()).toEqual(['replica.log', 'replica.log.1', 'replica.log.2']);
    expect(await readFile(`${log}.1`, 'utf8')).toContain('fourth');
    expect(await readFile(`${log}.2`, 'utf8')).toContain('third');
    await replica.json({ print: 'still written' });
    expect(await replica.log()).toBe('still written\n');
  });

  it('has the kinds and places of failures, and nothing of what was sent, where output is thrown away', async () => {
    const backend = `
import { writeSync } from 'node:fs';
export class EchoBackend {
  constructor() { console.log('constructed'); }
  async call(request) {
    const { secret } = await request.json();
    console.log(secret);
    writeSync(2, secret);
    throw new RangeError(secret + '\\nof two lines');
  }
}`;
    const launch = { log_output: false, log_max_bytes: 400 };
    const replica = await start({ files: { 'backend.mjs': backend }, launch });
    const { log } = replica.launch;
    await replica.send({ body: '{"secret":"from-a-client"}', head: { id: 'id-1' } }).answer;
    const written = async () => (await replica.log()) + (await readFile(`${log}.1`, 'utf8').catch(() => ''));
    expect(await written()).toMatch(/request id-1 failed: RangeError\n {4}at EchoBackend.call/);
    expect(await written()).not.toMatch(/from-a-client|constructed|two lines/);
    await eventually('its own log is rotated', async () => (await stat(log)).size === 0);
  });

  it('can be followed through a rotation', async () => {
    const replica = await start({ launch: { log_max_bytes: 2_000, log_files: 3 } });
    const over = new AbortController();
    let seen = '';
    const followed = (async () => {
      const tail = tailLog(replica.launch.log, { lines: 100, follow: true, signal: over.signal });
      for await (const chunk of tail) seen += chunk.toString();
    })();
    await replica.json({ print: `before ${'x'.repeat(2_500)}` });
    await eventually('the follower has read on', () => seen.includes('before'));
    await eventually('the log is rotated', async () => (await stat(replica.launch.log)).size === 0);
    await replica.json({ print: 'after' });
    await eventually('the follower reads the emptied file', () => seen.endsWith('after\n'));
    over.abort();
    await followed;
  });
});
