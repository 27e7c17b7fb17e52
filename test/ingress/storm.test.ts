import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { FakeCall } from './fake-replica.ts';
import { call, TestNode, until } from './test-node.ts';

const REQUESTS = 600;
const BODIES = [0, 10, 70_000, 1_500_000];
let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

const below = (limit: number) => Math.floor(Math.random() * limit);

/** Does with a call what may happen to one: mostly an answer, now or later. */
function moody(asked: FakeCall): void {
  const { stream, body, answer } = asked;
  const mood = below(20);
  if (mood === 0) stream.refuse('full');
  else if (mood === 1) stream.fail({ code: 'REPLICA_STOPPED', info: 'its grace is over' });
  else if (mood === 2) answer('before the body was read');
  else if (mood === 3) {
    stream.respond({ status: 200, headers: [], ok: true }, false);
    stream.write(Buffer.alloc(1000), false);
    setTimeout(() => stream.write(Buffer.alloc(1000), true), below(20));
  } else if (mood > 4) void body.then((bytes) => setTimeout(() => answer(String(bytes.length)), below(10)));
  // else never: until its deadline, or until its client leaves
}

/** Requests on one connection whose client may leave at any time. */
function pipelined(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(node.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.resume();
    const head = 'POST /echo HTTP/1.1\r\nhost: x\r\nx-request-timeout-seconds: 0.2\r\n';
    for (let left = 5; left > 0; left -= 1) socket.write(`${head}content-length: 3\r\n\r\nabc`);
    setTimeout(() => socket.destroy(), below(300));
  });
}

async function single(): Promise<string> {
  const leaving = new AbortController();
  if (below(4) === 0) setTimeout(() => leaving.abort(), below(60));
  const headers = {
    'x-request-timeout-seconds': String(0.05 + below(400) / 1000),
    ...(below(2) === 0 ? { 'transfer-encoding': 'chunked' } : {}),
  };
  const body = Buffer.alloc(BODIES[below(BODIES.length)] ?? 0);
  try {
    return String((await call(node.port, { body, headers, signal: leaving.signal })).status);
  } catch {
    return leaving.signal.aborted ? 'left' : 'broken';
  }
}

it('a storm of clients that leave and replicas that refuse, break and die leaves nothing behind', async () => {
  const ids = ['Echo-1', 'Echo-2', 'Echo-3'];
  const options = { maxOngoing: 5 };
  const route = { maxQueuedRequests: 30 };
  await node.serve(Object.fromEntries(ids.map((id) => [id, moody])), { route, replica: options });
  const outcomes = new Map<string, number>();
  let begun = 0;
  const clients = Array.from({ length: 40 }, async () => {
    while (begun < REQUESTS) {
      begun += 1;
      const outcome = below(10) === 0 ? await pipelined().then(() => 'pipelined') : await single();
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  });
  let isOver = false;
  const deaths = (async () => {
    while (!isOver) {
      const id = ids[below(ids.length)] ?? '';
      await node.replicas.get(id)?.die();
      await new Promise((resolve) => setTimeout(resolve, below(30)));
      await node.replica(id, moody, options);
      await new Promise((resolve) => setTimeout(resolve, below(200)));
    }
  })();
  await Promise.all(clients);
  isOver = true;
  await deaths;
  await until('all is over', () => node.ingress.state.open === 0, 30_000);
  expect(node.ingress.state).toMatchObject({ inFlight: 0, queued: 0, keptBytes: 0 });
  const known = ['200', '429', '502', '504', 'left', 'broken', 'pipelined'];
  expect([...outcomes.keys()].filter((outcome) => !known.includes(outcome))).toEqual([]);
  expect(outcomes.get('200')).toBeGreaterThan(0);
  // and all of it can be used again
  for (const id of ids) await node.replicas.get(id)?.die();
  await until('all are gone', () => node.ingress.state.deployments[0]?.ready === 0, 30_000);
  for (const id of ids) await node.replica(id, ({ answer }) => answer('calm'), options);
  await node.connected(...ids);
  const calm = await Promise.all(Array.from({ length: 15 }, () => call(node.port, { body: 'x' })));
  expect(calm.map(({ text }) => text)).toEqual(Array(15).fill('calm'));
});
