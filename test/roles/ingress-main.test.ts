import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { IngressLaunch } from '../../src/config/ingress-launch.ts';
import { ingressSocket } from '../../src/config/paths.ts';
import { identityOf, isRunning } from '../../src/lib/process/identity.ts';
import { PLAIN_FILES } from '../../src/lib/tls/node-tls.ts';
import { bundleIngressPrograms, type IngressPrograms } from '../ingress/ingress-programs.ts';
import { call, holdPort, routeOf, TestNode, tableOf, until } from '../ingress/test-node.ts';
import { issue, putFiles } from '../support/certificates.ts';
import { pathSecrets } from '../support/secrets.ts';
import { tempDir } from '../support/temp-dir.ts';

let programs: IngressPrograms;
let node: TestNode;
let children: ChildProcess[];

beforeAll(async () => {
  programs = await bundleIngressPrograms();
});

afterAll(() => programs.remove());

beforeEach(() => {
  node = new TestNode();
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await node.close();
});

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly exit: Promise<number | null>;
}

function launch(change: Partial<IngressLaunch> = {}): Running {
  const file = join(node.paths.root, 'launch.json');
  const content: IngressLaunch = {
    nodeId: 'node-a',
    clusterId: 'test',
    version: '0.0.0',
    tracing: null,
    host: '127.0.0.1',
    httpPort: 0,
    httpPortFixed: true,
    linkPort: 0,
    stateDir: node.paths.root,
    store: null,
    secrets: { ...pathSecrets(), storePasswords: ['none'] },
    tls: PLAIN_FILES,
    ...change,
  };
  mkdirSync(node.paths.root, { recursive: true });
  writeFileSync(file, JSON.stringify(content), { mode: 0o600 });
  const child = spawn(process.execPath, [programs.main, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += String(chunk);
    });
  }
  const exit = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return { child, output: () => output, exit };
}

async function state(): Promise<{
  readonly httpPort: number;
  readonly open: number;
  readonly deployments: readonly { readonly ready: number }[];
  readonly processes: readonly { readonly pid: number; readonly phase: string }[];
}> {
  let found: Awaited<ReturnType<typeof state>> | null = null;
  const look = () =>
    http
      .get({ socketPath: ingressSocket(node.paths.sockets), path: '/state', agent: false }, (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () => {
          const answered = JSON.parse(text);
          if (answered.started) found = answered;
        });
      })
      .on('error', () => {});
  const timer = setInterval(look, 20);
  await until('the ingress answers on its control socket', () => found !== null, 15_000);
  clearInterval(timer);
  if (found === null) throw new Error('unreachable');
  return found;
}

describe('the ingress process', () => {
  it('serves by the saved table with the store out of reach, drains on SIGTERM and leaves', async () => {
    const calls: (() => void)[] = [];
    await node.replica('Echo-1', ({ answer }) => void calls.push(() => answer('from the process')));
    writeFileSync(node.paths.routing, JSON.stringify(tableOf([routeOf()])));
    const running = launch({ store: { url: 'redis://127.0.0.1:1', isOwn: true, tls: false } });
    const { httpPort } = await state();
    const answer = call(httpPort, { body: 'x' });
    await until('it is under way', () => calls.length === 1, 10_000);
    running.child.kill('SIGTERM');
    let ready = 200;
    const watch = setInterval(() => {
      call(httpPort, { method: 'GET', path: '/-/readyz' }).then(
        ({ status }) => {
          ready = status;
        },
        () => {},
      );
    }, 10);
    await until('it is not ready', () => ready === 503);
    clearInterval(watch);
    for (const finish of calls) finish();
    expect((await answer).text).toBe('from the process');
    expect(await running.exit).toBe(0);
    expect(running.output()).toBe('');
  });

  it('serves on with a certificate that ended since its node was started', async () => {
    const life = { fromMs: Date.now() - 3 * 86_400_000, toMs: Date.now() - 86_400_000 };
    const clients = putFiles(tempDir(), await issue('mst_test', 'front', life));
    const running = launch({ tls: { nodes: null, clients } });
    const { httpPort } = await state();
    const agent = new https.Agent({ rejectUnauthorized: false });
    const sent = https.get({ host: '127.0.0.1', port: httpPort, path: '/-/healthz', agent });
    const [answer] = await once(sent, 'response');
    expect(answer.statusCode).toBe(200);
    agent.destroy();
    running.child.kill('SIGTERM');
    expect(await running.exit).toBe(0);
  });

  it('that is killed leaves what its helper has begun to be finished, and the helper ends then', async () => {
    const calls: (() => void)[] = [];
    await node.replica('Echo-1', ({ answer }) => void calls.push(() => answer('from a helper')));
    writeFileSync(node.paths.routing, JSON.stringify(tableOf([routeOf()], { ingressProcesses: 2 })));
    const running = launch();
    let found = await state();
    const isServing = () => found.processes.some(({ phase }) => phase === 'serving');
    for (const end = performance.now() + 30_000; !isServing() && performance.now() < end; )
      found = await state();
    const helper = identityOf(found.processes.find(({ phase }) => phase === 'serving')?.pid ?? -1);
    const answers = [call(found.httpPort), call(found.httpPort)].map((answer) =>
      answer.then(({ text }) => text).catch(() => 'broken'),
    );
    await until('both are under way', () => calls.length === 2, 30_000);
    const ended = once(running.child, 'exit');
    running.child.kill('SIGKILL');
    await ended;
    expect(await Promise.race(answers)).toBe('broken');
    await expect(call(found.httpPort)).rejects.toThrow('ECONNREFUSED');
    for (const finish of calls) finish();
    expect((await Promise.all(answers)).sort()).toEqual(['broken', 'from a helper']);
    await until('the helper has ended', () => helper !== null && !isRunning(helper), 30_000);
  });

  it('ends with the reason as its last line when its port is taken', async () => {
    const { port, close } = await holdPort();
    node.onClose(close);
    const running = launch({ httpPort: port });
    expect(await running.exit).toBe(1);
    const last = JSON.parse(running.output().trim().split('\n').at(-1) ?? '');
    expect(last.error.code).toBe('PORT_TAKEN');
    expect(last.error.message).toContain(`pid ${process.pid}`);
  });

  it('ends on POST /stop', async () => {
    const running = launch();
    await state();
    const request = http.request({
      socketPath: ingressSocket(node.paths.sockets),
      method: 'POST',
      path: '/stop',
    });
    request.on('error', () => {});
    request.end();
    expect(await running.exit).toBe(0);
  });
});
