import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ingressSocket } from '../../src/config/paths.ts';
import { openControl } from '../../src/ingress/control.ts';
import { isNewer } from '../../src/ingress/routing-source.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, holdPort, routeOf, TestNode, tableOf, until } from './test-node.ts';

let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

function echo({ body, answer }: FakeCall): void {
  void body.then((bytes) => answer(bytes));
}

async function freePort(): Promise<number> {
  const held = await holdPort();
  await held.close();
  return held.port;
}

const version = (of: number, incarnation: string, epoch: number) =>
  tableOf([], { version: of, incarnation, epoch });

it.each([
  ['the first table', null, version(1, 'one', 1), true],
  ['a later version', version(1, 'one', 1), version(2, 'one', 1), true],
  ['the same', version(2, 'one', 1), version(2, 'one', 2), false],
  ['an earlier version', version(3, 'one', 1), version(2, 'one', 2), false],
  ['what a later leader made anew', version(3, 'one', 1), version(1, 'two', 2), true],
  ['what a store that fell back shows', version(3, 'two', 2), version(9, 'one', 1), false],
])('%s is taken or not', (_which, held, next, expected) => {
  expect(isNewer(next, held)).toBe(expected);
});

describe('the routing table', () => {
  it('is adopted when its version grows or a later leader made it anew, and said so in the store', async () => {
    await node.start();
    const seen = () => node.ingress.state.routingVersion;
    node.store.publish(tableOf([routeOf()], { version: 5 }));
    await until('version 5', () => seen() === 5);
    node.store.publish(tableOf([], { version: 4 }));
    node.store.publish(tableOf([routeOf()], { version: 6 }));
    await until('version 6', () => seen() === 6);
    node.store.publish(tableOf([routeOf()], { version: 1, incarnation: 'two', epoch: 2 }));
    await until('the other incarnation', () => node.ingress.state.incarnation === 'two');
    expect(seen()).toBe(1);
    await until('it is published', () => node.store.published.length === 3);
    expect(node.store.published).toEqual([
      { nodeId: 'node-a', incarnation: 'one', routingVersion: 5, epoch: 1 },
      { nodeId: 'node-a', incarnation: 'one', routingVersion: 6, epoch: 1 },
      { nodeId: 'node-a', incarnation: 'two', routingVersion: 1, epoch: 2 },
    ]);
  });

  it('is said again to a store that may have forgotten it, and found without a hint', async () => {
    await node.start({ limits: { pollMs: 20 } });
    await node.publish([routeOf()]);
    await until('it is published', () => node.store.published.length === 1);
    node.store.hint();
    await until('it is published again', () => node.store.published.length === 2);
    node.store.table = tableOf([routeOf()], { version: 9 }); // without a hint
    await until('it is found', () => node.ingress.state.routingVersion === 9);
    node.store.isLost = true;
    node.store.hint();
    node.store.table = tableOf([routeOf()], { version: 10 });
    node.store.isLost = false;
    await until('it is found after the loss', () => node.ingress.state.routingVersion === 10);
  });

  it('is kept on disk: the next ingress serves without a store', async () => {
    await node.serve({ 'Echo-1': echo });
    await until('it is saved', () => existsSync(node.paths.routing));
    await node.ingress.stop();
    node.store.isLost = true;
    await node.start();
    await node.connected('Echo-1');
    expect((await call(node.port, { body: 'from disk' })).text).toBe('from disk');
  });

  it('that is damaged on disk is no reason not to start', async () => {
    writeFileSync(node.paths.routing, '{"version":');
    await node.start();
    expect(node.ingress.state.routingVersion).toBe(-1);
    expect((await call(node.port)).status).toBe(404);
  });
});

describe('the port', () => {
  it('follows the table: the new one first, then the old is closed', async () => {
    const [first, second] = [await freePort(), await freePort()];
    await node.start({ httpPort: null, httpPortFixed: false });
    expect(node.ingress.state.httpPort).toBe(null);
    const calls: FakeCall[] = [];
    await node.replica('Echo-1', (asked) => void calls.push(asked));
    await node.publish([routeOf()], { port: first });
    await until('the first port', () => node.port === first);
    await node.connected('Echo-1');
    const open = call(first);
    await until('it is under way', () => calls.length === 1);
    await node.publish([routeOf()], { port: second });
    await until('the second port', () => node.port === second);
    const other = call(second);
    await until('both are under way', () => calls.length === 2);
    for (const asked of calls) asked.answer('ok');
    expect((await open).text).toBe('ok');
    expect((await other).text).toBe('ok');
    await expect(call(first)).rejects.toThrow('ECONNREFUSED');
  });

  it('of before finishes what is slow, and lets no connection go on', async () => {
    const [first, second] = [await freePort(), await freePort()];
    await node.start({ httpPort: null, httpPortFixed: false });
    const slowMs = 2_500; // longer than an ingress that ends would wait
    await node.replica('Echo-1', ({ head, answer }) => {
      setTimeout(() => answer(head.path), head.path.endsWith('/slow') ? slowMs : 0);
    });
    await node.publish([routeOf()], { port: first });
    await until('the first port', () => node.port === first);
    await node.connected('Echo-1');
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    node.onClose(() => agent.destroy());
    const slow = call(first, { path: '/echo/slow', agent });
    await until('it is under way', () => node.ingress.state.inFlight === 1);
    const next = call(first, { path: '/echo/next', agent }); // waits for the only connection
    await node.publish([routeOf()], { port: second });
    await until('the second port', () => node.port === second);
    expect((await slow).text).toBe('/echo/slow');
    expect(await next).toMatchObject({ text: '/echo/next', headers: { connection: 'close' } });
  });

  it('that an ingress of the same cluster has gives a free one', async () => {
    await node.start();
    const second = new TestNode('node-b');
    node.onClose(() => second.close());
    await second.start({ httpPort: node.port });
    expect(second.port).not.toBe(node.port);
    expect((await call(second.port, { method: 'GET', path: '/-/healthz' })).status).toBe(200);
    const stranger = new TestNode('node-c');
    node.onClose(() => stranger.close());
    await expect(stranger.start({ httpPort: node.port, clusterId: 'another' })).rejects.toMatchObject({
      code: 'PORT_TAKEN',
    });
  });

  it('that another program has is refused, naming the program', async () => {
    const { port, close } = await holdPort();
    node.onClose(close);
    await expect(node.start({ httpPort: port })).rejects.toMatchObject({
      code: 'PORT_TAKEN',
      message: expect.stringMatching(new RegExp(`port ${port} .*\\(pid ${process.pid}\\).*--http-port`)),
    });
  });

  it('of a later table that is taken leaves the old one open, says why, and is taken when it is free', async () => {
    const [first, second] = [await freePort(), await freePort()];
    const blocker = await holdPort(second);
    await node.start({ httpPort: null, httpPortFixed: false });
    await node.publish([routeOf()], { port: first });
    await until('the first port', () => node.port === first);
    await node.publish([routeOf()], { port: second });
    await until('the problem is told', () => node.ingress.state.listenProblem?.includes('taken by') === true);
    expect((await call(first, { method: 'GET', path: '/-/healthz' })).status).toBe(200);
    await blocker.close();
    await until('the second port', () => node.port === second);
    expect(node.ingress.state.listenProblem).toBe(null);
  });

  const mayListenLow = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8')) < 81;
  const isPrivileged = process.getuid?.() === 0 || mayListenLow;
  it.skipIf(isPrivileged)(
    'below 1024 names the remedies (skipped where this user may listen there)',
    async () => {
      await expect(node.start({ httpPort: 81 })).rejects.toMatchObject({
        code: 'PORT_FORBIDDEN',
        message: expect.stringMatching(/setcap.*sysctl.*proxy/),
      });
    },
  );
});

describe('draining', () => {
  it('is seen at readyz and by keep-alive clients, and ends when nothing is under way', async () => {
    const calls: FakeCall[] = [];
    await node.serve({ 'Echo-1': (asked) => void calls.push(asked) });
    expect(await node.ingress.drain(0)).toBe(true);
    await node.close();
    node = new TestNode();
    await node.serve({ 'Echo-1': (asked) => void calls.push(asked) });
    const agent = new http.Agent({ keepAlive: true });
    const before = call(node.port, { agent });
    await until('it is under way', () => calls.length === 1);
    const drained = node.ingress.drain(5_000);
    const ready = await call(node.port, { method: 'GET', path: '/-/readyz' });
    expect(ready.status).toBe(503);
    expect(ready.json().info).toContain('draining');
    expect((await call(node.port, { method: 'GET', path: '/-/healthz' })).status).toBe(200);
    const during = call(node.port, { agent });
    await until('both are under way', () => calls.length === 2);
    expect(await node.ingress.drain(10)).toBe(false);
    for (const asked of calls) asked.answer('done');
    expect((await before).text).toBe('done');
    expect((await during).headers.connection).toBe('close');
    expect(await drained).toBe(true);
    agent.destroy();
  });
});

describe('the control socket', () => {
  function ask(method: string, path: string, body?: object): Promise<{ readonly [key: string]: unknown }> {
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          socketPath: ingressSocket(node.paths.sockets),
          method,
          path,
          agent: false,
          headers: body === undefined ? {} : { 'content-type': 'application/json' },
        },
        (response) => {
          response.setEncoding('utf8');
          let text = '';
          response.on('data', (part) => {
            text += part;
          });
          response.on('end', () => resolve(JSON.parse(text)));
        },
      );
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  it('tells the state, drains and stops; a second ingress is refused, a dead one replaced', async () => {
    await node.serve({ 'Echo-1': echo });
    const path = ingressSocket(node.paths.sockets);
    writeFileSync(path, ''); // what a killed process leaves
    let stopped = 0;
    const onStop = () => {
      stopped += 1;
    };
    const control = await openControl(path, node.ingress, onStop);
    node.onClose(() => control.close());
    await expect(openControl(path, node.ingress, onStop)).rejects.toMatchObject({ code: 'INGRESS_RUNS' });
    await call(node.port, { body: 'x' });
    expect(await ask('GET', '/state')).toMatchObject({
      pid: process.pid,
      nodeId: 'node-a',
      started: true,
      host: '127.0.0.1',
      httpPort: node.port,
      routingVersion: 1,
      incarnation: 'one',
      draining: false,
      listenProblem: null,
      deployments: [{ deployment: 'Echo', ready: 1, inFlight: 0, queued: 0, requests: 1 }],
      poison: [],
    });
    expect(await ask('POST', '/drain', { graceMs: 1_000 })).toEqual({ drained: true });
    expect(await ask('GET', '/state')).toMatchObject({ draining: true });
    expect(await ask('POST', '/stop', {})).toEqual({ stopping: true });
    await until('it is told to stop', () => stopped === 1);
  });
});
