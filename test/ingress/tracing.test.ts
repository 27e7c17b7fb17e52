import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RequestHead } from '../../src/channel/messages.ts';
import type { TracingSettings } from '../../src/config/tracing-settings.ts';
import { openLog } from '../../src/telemetry/logger.ts';
import { OtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, routeOf, TestNode, until } from './test-node.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const sent = (flags: string) => ({ traceparent: `00-${TRACE}-${PARENT}-${flags}`, tracestate: 'a=1' });

let node: TestNode;
let receiver: OtlpReceiver;

beforeEach(async () => {
  node = new TestNode();
  receiver = await OtlpReceiver.start();
});

afterEach(async () => {
  await node.close();
  await receiver.close();
});

/** What the replicas were asked, in order. */
const heads: RequestHead[] = [];

function timedAnswer({ head, stream, answer }: FakeCall): void {
  heads.push(head);
  if (head.path.endsWith('/unwell')) {
    answer('no', { ok: false });
    return;
  }
  const timed = head.timed === true ? { user_us: 1500 } : {};
  stream.respond({ status: 200, headers: [['content-length', '2']], ok: true, ...timed }, false);
  stream.write(Buffer.from('ok'), true);
}

async function serve(change: Partial<TracingSettings> = {}): Promise<void> {
  heads.length = 0;
  const tracing = {
    ...{ url: receiver.url, headers: { 'x-key': 'k' }, resource: { 'service.name': 'ours' } },
    ...{ ratio: 1, followsParent: true, ...change },
  };
  await node.start({ tracing }, openLog(join(node.paths.logs, 'ingress.log'), 'ingress'));
  await node.serve({ 'Echo-1': timedAnswer }, { replica: { maxOngoing: 100 } });
}

const headerOf = (head: RequestHead | undefined, name: string): string | undefined =>
  head?.headers.find(([one]) => one === name)?.[1];
const span = (name: string): ReceivedSpan | undefined => receiver.spans.find((one) => one.name === name);

describe('a traced request', () => {
  it('is part of its client’s trace, as is its replica’s part of it', async () => {
    await serve();
    await call(node.port, { path: '/echo/x?key=secret', headers: { ...sent('01'), 'x-request-id': 'id-1' } });
    await node.ingress.stop(); // sends what is left
    const [server, replica, user] = ['POST /echo', 'replica', 'user code'].map(span);
    expect(receiver.spans).toHaveLength(3);
    expect(server).toMatchObject({
      ...{ traceId: TRACE, parentSpanId: PARENT, kind: 2, status: { code: 0 } },
      attributes: {
        ...{ 'http.request.method': 'POST', 'http.route': '/echo', 'url.path': '/echo/x' },
        ...{ 'http.response.status_code': 200, 'modelserve.deployment': 'Echo', 'modelserve.outcome': 'ok' },
        ...{ 'modelserve.request_id': 'id-1', 'client.address': '127.0.0.1' },
      },
      resource: { 'service.name': 'ours', 'service.instance.id': 'node-a', 'service.version': '0.0.0' },
    });
    expect(replica).toMatchObject({
      ...{ traceId: TRACE, parentSpanId: server?.spanId, kind: 3 },
      attributes: { 'modelserve.replica': 'Echo-1', 'modelserve.node': 'node-a' },
    });
    expect(user).toMatchObject({ traceId: TRACE, parentSpanId: replica?.spanId, kind: 1 });
    const startOf = (one: ReceivedSpan | undefined) => BigInt(one?.startTimeUnixNano ?? 0);
    const endOf = (one: ReceivedSpan | undefined) => BigInt(one?.endTimeUnixNano ?? 0);
    expect(startOf(server) <= startOf(replica) && startOf(replica) <= startOf(user)).toBe(true);
    expect(endOf(user) <= endOf(replica) && endOf(replica) <= endOf(server)).toBe(true);
    expect(heads[0]).toMatchObject({ timed: true });
    expect(headerOf(heads[0], 'traceparent')).toBe(`00-${TRACE}-${replica?.spanId}-01`);
    expect(headerOf(heads[0], 'tracestate')).toBe('a=1');
    expect(receiver.headers[0]?.['x-key']).toBe('k');
    expect(JSON.stringify(receiver.spans)).not.toContain('secret');
  });

  it('shows its wait, and what failed', async () => {
    await serve();
    const { answer } = await busyReplica();
    const waiting = call(node.port, { path: '/echo/unwell' });
    await until('it waits', () => node.ingress.state.queued === 1);
    answer();
    await waiting;
    await node.ingress.stop();
    expect(span('queue')).toMatchObject({ kind: 1 });
    const failed = receiver.spans.filter(({ name, status }) => name === 'POST /echo' && status.code === 2);
    expect(failed).toMatchObject([
      { status: { message: 'application_error' }, attributes: { 'error.type': 'application_error' } },
    ]);
  });
});

it.each<[string, { path?: string; method?: string; headers?: Record<string, string> }, string, object]>([
  ['no route', { path: '/nowhere' }, 'POST', { 'http.response.status_code': 404 }],
  [
    'a method that is not served',
    { method: 'PUT' },
    'PUT /echo',
    { 'http.route': '/echo', 'modelserve.deployment': 'Echo', 'http.response.status_code': 405 },
  ],
  [
    'a bad timeout',
    { headers: { 'x-request-timeout-seconds': 'x' } },
    'POST /echo',
    { 'http.response.status_code': 400, 'modelserve.outcome': 'client_error' },
  ],
  [
    'a question of what may be asked',
    { method: 'OPTIONS' },
    'OPTIONS /echo',
    { 'http.response.status_code': 204, 'modelserve.outcome': 'ok', 'modelserve.deployment': 'Echo' },
  ],
])(
  'a request that no replica sees, for %s, is a span of its client’s trace',
  async (_for, asked, name, attributes) => {
    await serve();
    await call(node.port, { ...asked, headers: { ...asked.headers, ...sent('01') } });
    await node.ingress.stop();
    expect(receiver.spans).toHaveLength(1);
    expect(receiver.spans[0]).toMatchObject({
      ...{ name, kind: 2, traceId: TRACE, parentSpanId: PARENT, status: { code: 0 } },
      attributes: { 'url.scheme': 'http', 'client.address': '127.0.0.1', ...attributes },
    });
    expect(receiver.spans[0]?.attributes['http.route']).toBe(name.split(' ')[1]);
  },
);

it('of requests beyond what the queue takes each is a span that failed', async () => {
  await serve();
  await node.publish([routeOf({ availability: { state: 'failed', message: 'x' }, endpoints: [] })]);
  await call(node.port, { headers: sent('00') });
  await call(node.port);
  await node.ingress.stop();
  expect(receiver.spans).toMatchObject([{ status: { code: 2, message: 'NOT_READY' } }]);
});

/** All that the replica lets in, held until `answer`. */
async function busyReplica(): Promise<{ readonly answer: () => void }> {
  const held: FakeCall[] = [];
  await node.replicas.get('Echo-1')?.die();
  await node.replica(
    'Echo-1',
    (asked) => (asked.head.path.endsWith('/hold') ? held.push(asked) : timedAnswer(asked)),
    {
      maxOngoing: 1,
    },
  );
  await node.connected('Echo-1');
  void call(node.port, { path: '/echo/hold' });
  await until('it is held', () => held.length === 1);
  return { answer: () => held[0]?.answer('done') };
}

describe('of requests', () => {
  it('those whose client’s trace is not sampled are left as they are', async () => {
    await serve();
    await call(node.port, { headers: sent('00') });
    await node.ingress.stop();
    expect(receiver.spans).toEqual([]);
    expect(headerOf(heads[0], 'traceparent')).toBe(sent('00').traceparent);
    expect(heads[0]).not.toHaveProperty('timed');
  });

  it('without a trace the wanted share gets one, and the others are told that they have none', async () => {
    await serve({ ratio: 0.5 });
    for (let asked = 0; asked < 40; asked += 1) await call(node.port);
    await node.ingress.stop();
    const flags = heads.map((head) => headerOf(head, 'traceparent')?.slice(-2));
    expect(new Set(flags)).toEqual(new Set(['00', '01']));
    const traced = receiver.spans.filter(({ name }) => name === 'POST /echo');
    expect(traced).toHaveLength(flags.filter((flag) => flag === '01').length);
    expect(traced.every(({ parentSpanId = '' }) => parentSpanId === '')).toBe(true);
  });

  it('a traceparent that breaks the rules counts as none', async () => {
    await serve({ ratio: 0 });
    await call(node.port, { headers: { traceparent: `00-${'0'.repeat(32)}-${PARENT}-01` } });
    expect(headerOf(heads[0], 'traceparent')).toMatch(/^00-(?!0{32})[\da-f]{32}-[\da-f]{16}-00$/);
  });

  it('none waits for a receiver that takes no spans, and the log says why, once', async () => {
    await serve();
    receiver.status = 400;
    for (let asked = 0; asked < 3; asked += 1) expect((await call(node.port)).status).toBe(200);
    await node.ingress.stop();
    const lines = readFileSync(join(node.paths.logs, 'ingress.log'), 'utf8').split('\n');
    expect(lines.filter((line) => line.includes('spans are not taken'))).toHaveLength(1);
  });
});

it('without an endpoint a trace is passed through as it came', async () => {
  await node.start();
  heads.length = 0;
  await node.serve({ 'Echo-1': timedAnswer });
  await call(node.port, { headers: sent('01') });
  expect(headerOf(heads[0], 'traceparent')).toBe(sent('01').traceparent);
  expect(heads[0]).not.toHaveProperty('timed');
});
