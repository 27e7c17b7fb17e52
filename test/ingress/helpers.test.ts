import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { IngressState } from '../../src/ingress/state.ts';
import { forkProcess } from '../../src/lib/process/fork.ts';
import { identityOf, isRunning } from '../../src/lib/process/identity.ts';
import type { FakeCall } from './fake-replica.ts';
import { eachWithHelpers } from './ingress-programs.ts';
import { type Answered, call, holdPort, routeOf, type TestNode, until } from './test-node.ts';

// The main process of the ingress is the test's own; its helpers are processes, as they always are.
const SOON_MS = 60_000;
let node: TestNode;

eachWithHelpers((made) => {
  node = made;
});

/** Calls that wait for the test's word. */
class Held {
  readonly calls: FakeCall[] = [];
  readonly #route: string;

  constructor(route = '') {
    this.#route = route;
  }

  readonly script = (asked: FakeCall): void => {
    if (asked.head.path.includes(this.#route)) this.calls.push(asked);
    else asked.answer('at once');
  };

  /** answers these, and whatever comes later */
  release(): void {
    const { calls } = this;
    for (const asked of calls.splice(0)) asked.answer('held');
    calls.push = (...more: FakeCall[]) => {
      for (const asked of more) asked.answer('held');
      return 0;
    };
  }
}

/** A client's connection, and the process that serves it. */
interface Pinned {
  readonly agent: http.Agent;
  readonly pid: number;
}

async function connection(port = node.port): Promise<Pinned> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  node.onClose(() => agent.destroy());
  const answer = await call(port, { method: 'GET', path: '/-/healthz', agent });
  return { agent, pid: JSON.parse(answer.text).pid };
}

/** So many connections to each process, by pid. */
async function connectionsToEach(count: number): Promise<ReadonlyMap<number, readonly http.Agent[]>> {
  const by = new Map<number, http.Agent[]>(node.ingress.state.processes.map(({ pid }) => [pid, []]));
  const isFull = () => [...by.values()].every((agents) => agents.length >= count);
  for (let opened = 0; opened < 8 * count && !isFull(); opened += 1) {
    const { agent, pid } = await connection();
    by.get(pid)?.push(agent);
  }
  expect([...by.values()].map((agents) => agents.length >= count)).toEqual([...by.keys()].map(() => true));
  return new Map([...by].map(([pid, agents]) => [pid, agents.slice(0, count)]));
}

async function processes(count: number): Promise<readonly number[]> {
  const phases = () => node.ingress.state.processes.filter(({ phase }) => phase !== 'leaving');
  await until(
    `${count} processes`,
    () => phases().length === count && phases().every(({ phase }) => phase !== 'starting'),
    SOON_MS,
  );
  return phases().map(({ pid }) => pid);
}

/** A deployment served by two processes; returns the helper's pid. */
async function serveByTwo(
  script: (call: FakeCall) => void,
  options: Parameters<TestNode['serve']>[1] = {},
): Promise<number> {
  await node.serve({ 'Echo-1': script }, { ...options, table: { ingressProcesses: 2, ...options.table } });
  const [, helper = 0] = await processes(2);
  return helper;
}

function loadOf(state: IngressState, pid: number): { readonly inFlight: number; readonly queued: number } {
  const found = state.processes.find((one) => one.pid === pid);
  if (found === undefined) throw new Error(`no process ${pid} in ${JSON.stringify(state.processes)}`);
  return found;
}

async function untilReport(what: string, isSo: (state: IngressState) => boolean): Promise<void> {
  const end = performance.now() + SOON_MS;
  while (!isSo(await node.ingress.report())) {
    if (performance.now() > end) throw new Error(`waited ${SOON_MS} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const statuses = (answers: readonly Answered[]) => answers.map(({ status }) => status).sort();

describe('how many are taken', () => {
  const route = { maxQueuedRequests: 3 };
  const replica = { maxOngoing: 2 };

  /** Sends 12 at once, and waits until all but the expected ones are refused. */
  async function burst(agents: readonly http.Agent[], expectRefused: number) {
    const refused: Answered[] = [];
    const calls = agents.map(async (agent) => {
      const answer = await call(node.port, { agent });
      if (answer.status !== 200) refused.push(answer);
      return answer;
    });
    await until(`${expectRefused} to be refused`, () => refused.length >= expectRefused, SOON_MS);
    for (const answer of refused) {
      expect(answer).toMatchObject({ status: 429, headers: { 'retry-after': expect.any(String) } });
      expect(answer.json().code).toBe('QUEUE_FULL');
    }
    return { answers: Promise.all(calls), refused };
  }

  it('by one process: exactly ongoing and queued, the rest is refused', async () => {
    const held = new Held();
    await node.serve({ 'Echo-1': held.script }, { route, replica });
    const agents = Array.from({ length: 12 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
    node.onClose(() => {
      for (const agent of agents) agent.destroy();
    });
    const { answers } = await burst(agents, 7);
    await untilReport('two at the replica, three queued', ({ inFlight, queued }) => inFlight + queued === 5);
    held.release();
    expect(statuses(await answers)).toEqual([...Array(5).fill(200), ...Array(7).fill(429)]);
    expect(node.replicas.get('Echo-1')?.peak).toBe(2);
  });

  it('by each of two: exactly ongoing and queued; what a second finds no room for is queued or refused', async () => {
    const held = new Held();
    const helper = await serveByTwo(held.script, { route, replica });
    const agents = await connectionsToEach(12);
    const [mine = [], theirs = []] = [agents.get(process.pid), agents.get(helper)];
    const first = await burst(theirs, 7); // the helper alone: it has the whole replica
    await untilReport('the helper is full', (state) => {
      const { inFlight, queued } = loadOf(state, helper);
      return inFlight === 2 && queued === 3;
    });
    // The replica refuses whatever the other process sends now: that stays queued there, beyond it there is 429.
    const second = await burst(mine, 7);
    await untilReport('the main process is full', (state) => {
      const { inFlight, queued } = loadOf(state, process.pid);
      return inFlight + queued >= 3 && inFlight + queued <= 5;
    });
    expect(node.replicas.get('Echo-1')?.begun).toBe(2);
    held.release();
    expect(statuses(await first.answers)).toEqual([...Array(5).fill(200), ...Array(7).fill(429)]);
    const after = statuses(await second.answers);
    const taken = after.filter((status) => status === 200).length;
    expect(taken).toBeGreaterThanOrEqual(3);
    expect(taken).toBeLessThanOrEqual(5);
    expect(after.filter((status) => status === 429)).toHaveLength(12 - taken);
    expect(node.replicas.get('Echo-1')).toMatchObject({ peak: 2, begun: 5 + taken });
    const { deployments } = await node.ingress.report();
    expect(deployments).toMatchObject([{ requests: 5 + taken, frameworkErrors: { QUEUE_FULL: 19 - taken } }]);
  });
});

describe('the number of processes', () => {
  it('grows in place: who was connected is dealt out anew, and loses nothing', async () => {
    await node.serve({ 'Echo-1': ({ answer }) => answer('ok') });
    const before = await Promise.all(Array.from({ length: 4 }, () => connection()));
    expect(before.map(({ pid }) => pid)).toEqual(Array(4).fill(process.pid));
    await node.publish([routeOf()], { ingressProcesses: 2 });
    const [, helper] = await processes(2);
    for (const { agent } of before) {
      expect(await call(node.port, { agent })).toMatchObject({
        status: 200,
        headers: { connection: 'close' },
      });
    }
    const pids = [];
    for (let count = 0; count < 8; count += 1) pids.push((await connection()).pid);
    expect(pids.filter((pid) => pid === helper)).toHaveLength(4);
    expect(pids.filter((pid) => pid === process.pid)).toHaveLength(4);
  });

  it('shrinks in place: who is too many finishes, lets its connections go, and ends', async () => {
    const held = new Held();
    const helper = await serveByTwo(held.script);
    const identity = identityOf(helper);
    const agents = await connectionsToEach(1);
    const agent = agents.get(helper)?.[0] ?? new http.Agent();
    const open = call(node.port, { agent });
    await until('it is under way', () => held.calls.length === 1, SOON_MS);
    await node.publish([routeOf()], { ingressProcesses: 1 });
    const next = call(node.port, { agent }); // waits for the connection
    expect((await node.ingress.report()).processes).toMatchObject([
      { phase: 'main' },
      { pid: helper, phase: 'leaving', connections: 1, inFlight: 1 },
    ]);
    expect((await connection()).pid).toBe(process.pid);
    expect((await connection()).pid).toBe(process.pid);
    held.release();
    expect((await open).text).toBe('held');
    expect(await next).toMatchObject({ text: 'held', headers: { connection: 'close' } });
    await until('it has ended', () => node.ingress.state.processes.length === 1, SOON_MS);
    expect(identity && isRunning(identity)).toBe(false);
    const { deployments } = await node.ingress.report();
    expect(deployments).toMatchObject([{ requests: 2, inFlight: 0 }]); // what it counted is kept
  });

  it('stays what it was where helpers cannot start', async () => {
    const broken = join(node.paths.root, 'broken.mjs');
    writeFileSync(broken, 'process.exit(1);\n');
    let started = 0;
    node.forkHelper = () => {
      started += 1;
      return forkProcess(broken, []);
    };
    await node.serve({ 'Echo-1': ({ answer }) => answer('ok') }, { table: { ingressProcesses: 3 } });
    await until('they are started again', () => started >= 4, SOON_MS);
    expect((await call(node.port)).text).toBe('ok');
    expect((await connection()).pid).toBe(process.pid);
  });
});

describe('a helper', () => {
  it('that is killed breaks its own connections only, and is replaced', async () => {
    const held = new Held('/held');
    const helper = await serveByTwo(held.script);
    const agents = await connectionsToEach(2);
    const outcomes = [...agents].map(([pid, [agent = new http.Agent()]]) => ({
      pid,
      outcome: call(node.port, { path: '/echo/held', agent }).catch((error: Error) => error),
    }));
    await until('both are under way', () => held.calls.length === 2, SOON_MS);
    process.kill(helper, 'SIGKILL');
    const broken = await outcomes.find(({ pid }) => pid === helper)?.outcome;
    expect(broken).toBeInstanceOf(Error);
    const other = agents.get(process.pid)?.[1] ?? new http.Agent();
    expect(await call(node.port, { agent: other })).toMatchObject({ text: 'at once' });
    held.release();
    expect(await outcomes.find(({ pid }) => pid !== helper)?.outcome).toMatchObject({ text: 'held' });
    await until('it is gone', () => node.ingress.state.processes.every(({ pid }) => pid !== helper), SOON_MS);
    const [, next = 0] = await processes(2);
    expect(next).not.toBe(helper);
    expect((await connectionsToEach(1)).has(next)).toBe(true);
  });

  it('that hangs is killed, and the connections that it has not read from lose nothing', async () => {
    const helper = await serveByTwo(({ answer }) => answer('ok'));
    process.kill(helper, 'SIGSTOP');
    const answers = Array.from({ length: 6 }, () => call(node.port));
    const answered: Answered[] = [];
    for (const answer of answers) void answer.then((one) => answered.push(one));
    await until('those of the main process', () => answered.length === 3, SOON_MS);
    expect(statuses(await Promise.all(answers))).toEqual(Array(6).fill(200));
    expect(await processes(2)).not.toContain(helper);
  });

  it('limits slow headers, like the main process', async () => {
    await node.start({ limits: { headersTimeoutMs: 200 } });
    await serveByTwo(({ answer }) => answer('ok'));
    const texts = await Promise.all(
      [0, 1].map(
        () =>
          new Promise<string>((resolve) => {
            let text = '';
            const socket = connect(node.port, '127.0.0.1', () => socket.write('GET /echo HTTP/1.1\r\nhost:'));
            socket.on('data', (chunk) => {
              text += String(chunk);
            });
            socket.on('close', () => resolve(text));
          }),
      ),
    );
    expect(texts.map((text) => text.split('\r\n')[0])).toEqual(Array(2).fill('HTTP/1.1 408 Request Timeout'));
  });

  it('serves on at another port, and drains and ends with its ingress', async () => {
    const ports: number[] = [];
    for (let count = 0; count < 2; count += 1) {
      const held = await holdPort();
      ports.push(held.port);
      await held.close();
    }
    const [first = 0, second = 0] = ports;
    const held = new Held('/held');
    await node.start({ httpPort: null, httpPortFixed: false });
    const helper = await serveByTwo(held.script, { table: { port: first } });
    const identity = identityOf(helper);
    const agents = await connectionsToEach(2);
    await node.publish([routeOf()], { port: second, ingressProcesses: 2 });
    await until('the second port', () => node.port === second, SOON_MS);
    for (const [agent] of agents.values()) {
      const answer = await call(first, { ...(agent === undefined ? {} : { agent }) });
      expect(answer).toMatchObject({ text: 'at once', headers: { connection: 'close' } });
    }
    await expect(call(first)).rejects.toThrow('ECONNREFUSED');
    expect(new Set([...(await connectionsToEach(1)).keys()])).toEqual(new Set([process.pid, helper]));
    const there = [...(await connectionsToEach(1)).values()].flat();
    const open = there.map((agent) => call(second, { path: '/echo/held', agent }));
    await until('both are under way', () => held.calls.length === 2, SOON_MS);
    const drained = node.ingress.drain(SOON_MS);
    const ready = await Promise.all([0, 1].map(() => call(second, { method: 'GET', path: '/-/readyz' })));
    expect(statuses(ready)).toEqual([503, 503]);
    expect(await node.ingress.drain(10)).toBe(false);
    held.release();
    expect(statuses(await Promise.all(open))).toEqual([200, 200]);
    expect(await drained).toBe(true);
    await node.ingress.stop();
    expect(identity && isRunning(identity)).toBe(false);
  });
});
