import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeCall } from './fake-replica.ts';
import { call, routeOf, TestNode, until } from './test-node.ts';

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

/** Collects calls for the test to answer. */
function held(): { readonly calls: FakeCall[]; readonly script: (asked: FakeCall) => void } {
  const calls: FakeCall[] = [];
  return { calls, script: (asked) => calls.push(asked) };
}

describe('the queue', () => {
  it('takes exactly what replicas and bound hold, and refuses the rest at once', async () => {
    const one = held();
    await node.serve(
      { 'Echo-1': one.script },
      { route: { maxQueuedRequests: 10 }, replica: { maxOngoing: 5 } },
    );
    const answers = Array.from({ length: 40 }, () => call(node.port, { body: 'x' }));
    const refused: number[] = [];
    for (const answer of answers) {
      void answer.then(({ status }) => {
        if (status === 429) refused.push(status);
      });
    }
    await until('25 are refused', () => refused.length === 25);
    expect(node.ingress.state).toMatchObject({ inFlight: 5, queued: 10 });
    expect(one.calls).toHaveLength(5);
    const drained = setInterval(() => {
      for (const asked of one.calls) asked.answer('ok');
    }, 2);
    const all = await Promise.all(answers);
    clearInterval(drained);
    expect(all.filter(({ status }) => status === 200)).toHaveLength(15);
    const full = all.find(({ status }) => status === 429);
    expect(full?.json().code).toBe('QUEUE_FULL');
    expect(full?.headers['retry-after']).toBe('1');
    expect(node.replicas.get('Echo-1')?.peak).toBe(5);
  });

  it('serves in order', async () => {
    const one = held();
    await node.serve({ 'Echo-1': one.script }, { replica: { maxOngoing: 1 } });
    const answers: Promise<unknown>[] = [];
    for (let index = 0; index < 6; index += 1) {
      answers.push(call(node.port, { path: `/echo/${index}` }));
      await until(`request ${index} is there`, () => node.ingress.state.open === index + 1);
    }
    for (let index = 0; index < 6; index += 1) {
      await until(`call ${index}`, () => one.calls.length === index + 1);
      expect(one.calls[index]?.head.path).toBe(`/echo/${index}`);
      one.calls[index]?.answer('ok');
    }
    await Promise.all(answers);
  });

  it('gives most to the faster of two replicas', async () => {
    const counts = { fast: 0, slow: 0 };
    const held: (() => void)[] = [];
    await node.serve({
      'Echo-1': ({ answer }) => {
        counts.fast += 1;
        setTimeout(() => answer('ok'), 2);
      },
      // answers only when the other has had four fifths of all requests
      'Echo-2': ({ answer }) => {
        counts.slow += 1;
        if (counts.fast >= 80) answer('ok');
        else held.push(() => answer('ok'));
      },
    });
    let sent = 0;
    const client = async () => {
      for (; sent < 100; sent += 1) await call(node.port);
    };
    const clients = Promise.all(Array.from({ length: 4 }, client));
    await until('the fast one has had 80', () => counts.fast >= 80);
    for (const answer of held.splice(0)) answer();
    await clients;
    expect(counts.fast).toBeGreaterThanOrEqual(80);
  });

  it('sends a refused request elsewhere, and lets who refused rest', async () => {
    let refusals = 0;
    await node.serve(
      {
        'Echo-1': ({ stream }) => {
          refusals += 1;
          stream.refuse('full');
        },
        'Echo-2': echo,
      },
      { replica: { maxOngoing: 100 } },
    );
    const answers = await Promise.all(Array.from({ length: 30 }, () => call(node.port, { body: 'same' })));
    expect(answers.map(({ text }) => text)).toEqual(Array.from({ length: 30 }, () => 'same'));
    expect(refusals).toBeGreaterThan(0);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0 });
  });

  it('tries a lone replica again after it refused', async () => {
    let seen = 0;
    await node.serve({
      'Echo-1': (asked) => {
        seen += 1;
        if (seen <= 3) asked.stream.refuse('full');
        else echo(asked);
      },
    });
    expect((await call(node.port, { body: 'again' })).text).toBe('again');
    expect(seen).toBe(4);
  });
});

describe('a deadline', () => {
  it('fires on time while every replica is busy, in the queue and at the replica', async () => {
    const one = held();
    await node.serve({ 'Echo-1': one.script }, { replica: { maxOngoing: 1 } });
    const send = (seconds: string) => call(node.port, { headers: { 'x-request-timeout-seconds': seconds } });
    const first = send('3');
    let isFirstOver = false;
    void first.then(() => {
      isFirstOver = true;
    });
    await until('it is there', () => one.calls.length === 1);
    const startedMs = performance.now();
    const second = await send('0.15');
    expect(performance.now() - startedMs).toBeGreaterThan(140);
    expect(isFirstOver, 'the replica is still busy').toBe(false);
    expect(second.status).toBe(504);
    expect(second.json().code).toBe('DEADLINE');
    expect(second.json().info).toContain('waiting for a free replica');
    expect((await first).json().info).toContain('at a replica');
    await one.calls[0]?.cancelled; // the replica was told
    await until('all is over', () => node.ingress.state.open === 0);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0 });
  });

  it('is answered by the runner, too', async () => {
    await node.serve(
      {
        'Echo-1': ({ stream, head }) =>
          stream.fail({ code: head.path === '/echo' ? 'DEADLINE' : 'WORKER_LOST', info: 'in the replica' }),
      },
      { replica: { maxOngoing: 9 } },
    );
    expect((await call(node.port)).status).toBe(504);
    const failed = await call(node.port, { path: '/echo/x' });
    expect(failed.status).toBe(500);
    expect(failed.json()).toMatchObject({ code: 'WORKER_LOST', info: 'in the replica' });
  });
});

describe('a client that hangs up', () => {
  it('frees its place at the replica, which is told, and its place in the queue', async () => {
    const one = held();
    await node.serve({ 'Echo-1': one.script }, { replica: { maxOngoing: 1 } });
    const leaves = new AbortController();
    const left = [1, 2, 3].map(() => call(node.port, { signal: leaves.signal }).catch(() => 'left'));
    await until('one there, two queued', () => node.ingress.state.queued === 2 && one.calls.length === 1);
    leaves.abort();
    await Promise.all(left);
    await one.calls[0]?.cancelled;
    await until('all are gone', () => node.ingress.state.open === 0);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0 });
    // One that waited may have had the place for a moment, where its hang-up was seen after that of the one before it.
    const before = one.calls.length;
    const next = call(node.port);
    await until('the next is there', () => one.calls.length > before);
    one.calls[before]?.answer('served');
    expect((await next).text).toBe('served');
  });

  it('frees all that it has pipelined', async () => {
    const one = held();
    const route = { requestTimeoutMs: 600_000 };
    await node.serve({ 'Echo-1': one.script }, { replica: { maxOngoing: 20 }, route });
    const socket = connect(node.port, '127.0.0.1');
    socket.write('GET /echo HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(30));
    await until('all are there', () => node.ingress.state.queued === 10 && one.calls.length === 20);
    one.calls[7]?.answer('one behind others may have its answer already');
    await until('that is there', () => node.ingress.state.queued === 9);
    socket.destroy();
    await Promise.all(one.calls.filter((_, at) => at !== 7).map(({ cancelled }) => cancelled));
    await until('all are gone', () => node.ingress.state.open === 0);
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0 });
  });
});

describe('a replica that dies', () => {
  it('in the middle of 20 requests costs no client an error', async () => {
    const one = held();
    const options = { replica: { maxOngoing: 20 } };
    await node.serve({ 'Echo-1': one.script }, options);
    const answers = Array.from({ length: 20 }, (_, index) => call(node.port, { body: `request ${index}` }));
    await until('20 are there', () => one.calls.length === 20);
    await node.replicas.get('Echo-1')?.die();
    await until('they wait again', () => node.ingress.state.queued === 20);
    await node.replica('Echo-1', echo, options.replica); // the replacement, under the same id
    const all = await Promise.all(answers);
    expect(all.map(({ text }) => text)).toEqual(all.map((_, index) => `request ${index}`));
    expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0, poison: [] });
  });

  it('is answered by its replacement', async () => {
    await node.serve({ 'Echo-1': echo });
    await node.replicas.get('Echo-1')?.die();
    await until('it is gone', () => node.ingress.state.deployments[0]?.ready === 0);
    const answer = call(node.port, { body: 'held' });
    await until('it waits', () => node.ingress.state.queued === 1);
    await node.replica('Echo-1', echo);
    expect((await answer).text).toBe('held');
  });

  it('with retries = 0 gives exactly its requests 502', async () => {
    const one = held();
    await node.serve({ 'Echo-1': one.script, 'Echo-2': echo }, { route: { retries: 0 } });
    const answers = Array.from({ length: 8 }, () => call(node.port, { body: 'x' }));
    await until(
      'some are at the first',
      () => one.calls.length > 0 && node.ingress.state.open === one.calls.length,
    );
    const lost = one.calls.length;
    await node.replicas.get('Echo-1')?.die();
    const all = await Promise.all(answers);
    expect(all.filter(({ status }) => status === 502)).toHaveLength(lost);
    expect(all.filter(({ status }) => status === 200)).toHaveLength(8 - lost);
    expect(all.find(({ status }) => status === 502)?.json().code).toBe('REPLICA_DIED');
  });

  it('twice with the same request was killed by it: 502, and its id is named', async () => {
    let deaths = 0;
    const deadly = (replicaId: string) => (asked: FakeCall) => {
      if (!asked.head.path.endsWith('/poison')) {
        echo(asked);
        return;
      }
      deaths += 1;
      void node.replicas.get(replicaId)?.die();
    };
    await node.serve({ 'Echo-1': deadly('Echo-1'), 'Echo-2': deadly('Echo-2'), 'Echo-3': deadly('Echo-3') });
    const answer = await call(node.port, { path: '/echo/poison', headers: { 'x-request-id': 'killer' } });
    expect(answer.status).toBe(502);
    expect(answer.json()).toMatchObject({ code: 'REPLICA_DIED', request_id: 'killer' });
    expect(deaths).toBe(2);
    expect(node.ingress.state.poison).toMatchObject([
      { requestId: 'killer', deployment: 'Echo', path: '/echo/poison', deaths: 2 },
    ]);
    expect((await call(node.port, { body: 'the third lives' })).text).toBe('the third lives');
  });

  it('that has to go before it is done with a request hands it to another, or says how to give it more time', async () => {
    const stopped = ({ stream }: FakeCall) => {
      node.replicas.get('Echo-1')?.become('draining');
      stream.fail({ code: 'REPLICA_STOPPED', info: 'its grace is over' });
    };
    await node.serve({ 'Echo-1': stopped, 'Echo-2': echo });
    const answers = await Promise.all(Array.from({ length: 8 }, () => call(node.port, { body: 'x' })));
    expect(answers.map(({ text }) => text)).toEqual(Array(8).fill('x'));
    node.replicas.get('Echo-1')?.become('ready');
    await node.publish([routeOf({ retries: 0 })]);
    const cut = await call(node.port, { body: 'x' });
    expect(cut.status).toBe(502);
    expect(cut.json()).toMatchObject({
      code: 'REPLICA_STOPPED',
      info: expect.stringContaining('graceful_shutdown_timeout_s'),
    });
    expect(node.ingress.state.poison).toEqual([]);
  });

  it('after its first answer byte breaks the connection of the client', async () => {
    await node.serve({
      'Echo-1': ({ stream }) => {
        stream.respond({ status: 200, headers: [['content-length', '100']], ok: true }, false);
        stream.write(Buffer.from('some'), false);
        setImmediate(() => void node.replicas.get('Echo-1')?.die());
      },
    });
    await expect(call(node.port, { body: 'x' })).rejects.toThrow();
    expect(node.ingress.state.poison).toHaveLength(1);
  });
});

describe('nothing ready', () => {
  it('holds a request where a replica is expected', async () => {
    await node.start();
    await node.publish([routeOf()]);
    const answer = call(node.port, { body: 'patient' });
    await until('it waits', () => node.ingress.state.queued === 1);
    await node.replica('Echo-1', echo, { phase: 'starting' });
    await until('it is connected', () => node.replicas.get('Echo-1')?.connectionCount === 1);
    expect(node.ingress.state.queued).toBe(1);
    node.replicas.get('Echo-1')?.become('ready');
    expect((await answer).text).toBe('patient');
  });

  it.each([
    [{ state: 'starting', message: 'loads its model' }],
    [{ state: 'unplaced', message: 'no GPU has 0.5 free' }],
    [{ state: 'failed', message: 'ValueError: no weights' }],
    [{ state: 'crash-looping', message: 'exit code 1' }],
  ] as const)('answers 503 at once where none is: %o', async (availability) => {
    await node.start();
    await node.publish([routeOf({ availability })]);
    const startedMs = performance.now();
    const answer = await call(node.port, { body: 'x' });
    expect(performance.now() - startedMs, 'far from its deadline').toBeLessThan(9_000);
    expect(answer.status).toBe(503);
    expect(answer.json().code).toBe('NOT_READY');
    expect(answer.json().info).toContain(availability.state);
    expect(answer.json().info).toContain(availability.message);
  });

  it('tells who waits when hope ends, or the deployment', async () => {
    await node.start();
    await node.publish([routeOf()]);
    const first = call(node.port);
    await until('it waits', () => node.ingress.state.queued === 1);
    await node.publish([routeOf({ availability: { state: 'failed', message: 'three failed starts' } })]);
    expect((await first).json().info).toContain('three failed starts');
    await node.publish([routeOf()]);
    const second = call(node.port);
    await until('it waits', () => node.ingress.state.queued === 1);
    await node.publish([]);
    expect((await second).status).toBe(503);
    expect((await call(node.port)).status).toBe(404);
  });

  it('is no reason to refuse while a replica that the table calls starting answers already', async () => {
    await node.serve({ 'Echo-1': echo }, { route: { availability: { state: 'starting', message: '' } } });
    expect((await call(node.port, { body: 'ok' })).text).toBe('ok');
  });
});

describe('a replica that leaves', () => {
  it('finishes what it has when the table drops it, and gets nothing new', async () => {
    const one = held();
    await node.serve({ 'Echo-1': one.script });
    const answer = call(node.port);
    await until('it is there', () => one.calls.length === 1);
    await node.replica('Echo-2', echo);
    await node.publish([routeOf({ endpoints: [{ replicaId: 'Echo-2', nodeId: 'node-a' }] })]);
    expect((await call(node.port, { body: 'to the second' })).text).toBe('to the second');
    expect(node.replicas.get('Echo-1')?.connectionCount).toBe(1);
    one.calls[0]?.answer('finished');
    expect((await answer).text).toBe('finished');
    await until('its connection is closed', () => node.replicas.get('Echo-1')?.connectionCount === 0);
  });

  it('is suspected while it is stopped and silent, and served again when it beats', async () => {
    const process = spawn('sleep', ['60']);
    node.onClose(() => void process.kill('SIGKILL'));
    await node.serve({ 'Echo-1': echo }, { replica: { pid: process.pid ?? 0, beats: false } });
    expect((await call(node.port, { body: 'busy, not stopped' })).status).toBe(200);
    process.kill('SIGSTOP');
    await until('it is suspected', () => node.ingress.state.deployments[0]?.ready === 0, 8_000);
    const answer = call(node.port, { body: 'later' });
    await until('it waits', () => node.ingress.state.queued === 1);
    process.kill('SIGCONT');
    node.replicas.get('Echo-1')?.beatNow();
    expect((await answer).text).toBe('later');
  });
});
