import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openLog } from '../../src/telemetry/logger.ts';
import type { FakeCall } from './fake-replica.ts';
import { call, raw, routeOf, TestNode, until } from './test-node.ts';

const SECRET = 'a-secret-that-no-log-may-hold';
const HEADERS = {
  ...{ authorization: `Bearer ${SECRET}`, 'x-api-key': SECRET, cookie: SECRET, 'x-custom': SECRET },
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

const linesOf = (component: string): readonly Record<string, unknown>[] => {
  const file = join(node.paths.logs, `${component}.log`);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
};

function byPath({ head, answer, stream }: FakeCall): void {
  if (head.path.endsWith('/failed')) stream.fail({ code: 'BACKEND_ERROR', info: SECRET });
  else answer(SECRET, { ok: !head.path.endsWith('/unwell') });
}

async function serve(accessLog: boolean): Promise<void> {
  const log = openLog(join(node.paths.logs, 'ingress.log'), 'ingress');
  await node.start({}, log);
  await node.serve({ 'Echo-1': byPath }, { table: { accessLog } });
}

const ask = async (path: string, id: string) =>
  await call(node.port, { path, headers: { ...HEADERS, 'x-request-id': id }, body: SECRET });

it('name each request that failed by its id, with the replica that had it, and nothing that was sent', async () => {
  await serve(false);
  await ask(`/echo/fine?key=${SECRET}`, 'id-fine');
  await ask('/echo/unwell', 'id-unwell');
  await ask('/echo/failed', 'id-failed');
  await node.publish([routeOf({ availability: { state: 'failed', message: 'on purpose' }, endpoints: [] })]);
  await ask('/echo', 'id-away');
  const failures = linesOf('ingress').filter(({ msg }) => msg === 'a request failed');
  expect(failures).toMatchObject([
    {
      requestId: 'id-unwell',
      outcome: 'application_error',
      status: 200,
      replica: 'Echo-1',
      replicaNode: 'node-a',
    },
    { requestId: 'id-failed', outcome: 'replica_failed', code: 'BACKEND_ERROR', deployment: 'Echo' },
    { requestId: 'id-away', outcome: 'unavailable', code: 'NOT_READY', level: 'warn', component: 'ingress' },
  ]);
  expect(JSON.stringify(linesOf('ingress'))).not.toContain(SECRET);
  expect(existsSync(join(node.paths.logs, 'access.log'))).toBe(false);
});

it('are a line for each request where they are asked for, from then on and until they are not', async () => {
  await serve(false);
  await ask('/echo/before', 'id-0');
  await node.publish([routeOf()], { accessLog: true });
  await ask(`/echo/fine?key=${SECRET}`, 'id-1');
  await ask(`/nowhere/"}\\n{"?key=${SECRET}`, 'id-2');
  await node.publish([routeOf()]);
  await ask('/echo/after', 'id-3');
  await until('the lines are in the file', () => linesOf('access').length === 2);
  const [fine, nowhere] = linesOf('access');
  expect(fine).toMatchObject({
    ...{ component: 'access', requestId: 'id-1', traceId: '0af7651916cd43dd8448eb211c80319c' },
    ...{ client: '127.0.0.1', method: 'POST', path: '/echo/fine', deployment: 'Echo', status: 200 },
    ...{ outcome: 'ok', requestBytes: SECRET.length, responseBytes: SECRET.length },
    ...{ replica: 'Echo-1', replicaNode: 'node-a', queueMs: 0 },
  });
  expect(fine?.['durationMs']).toBeGreaterThan(Number(fine?.['replicaMs']));
  expect(nowhere).toMatchObject({
    requestId: 'id-2',
    status: 404,
    code: 'ROUTE_NOT_FOUND',
    path: '/nowhere/"}\\n{"',
  });
  const text = readFileSync(join(node.paths.logs, 'access.log'), 'utf8');
  expect(text).not.toContain(SECRET);
});

it('are a line for what the ingress answers itself, OPTIONS among it', async () => {
  await serve(true);
  const headers = { ...HEADERS, 'x-request-id': 'id-options' };
  expect((await call(node.port, { method: 'OPTIONS', path: '/echo', headers })).status).toBe(204);
  await until('the line is in the file', () => linesOf('access').length === 1);
  expect(linesOf('access')[0]).toMatchObject({
    ...{ requestId: 'id-options', traceId: '0af7651916cd43dd8448eb211c80319c', method: 'OPTIONS' },
    ...{ path: '/echo', deployment: 'Echo', status: 204, outcome: 'ok' },
  });
});

it.each([
  ['garbage', 'NOT HTTP AT ALL\r\n\r\n', 400, 'BAD_REQUEST'],
  ['headers beyond all bounds', `GET / HTTP/1.1\r\nx: ${SECRET.repeat(4_000)}\r\n`, 431, 'HEADERS_TOO_LARGE'],
])('are a line for %s, of which nothing is shown', async (_name, bytes, status, code) => {
  await serve(true);
  expect(await raw(node.port, bytes)).toContain(code);
  await until('the line is in the file', () => linesOf('access').length === 1);
  const [line] = linesOf('access');
  expect(line).toMatchObject({ client: '127.0.0.1', method: '', path: '', status, code });
  expect(line).toMatchObject({ outcome: 'client_error', requestId: expect.any(String) });
  expect(JSON.stringify(line)).not.toContain(SECRET);
});

it('are a line for what is no HTTP behind a request that was', async () => {
  await serve(true);
  const answered = await raw(node.port, 'GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\nNOT HTTP\r\n\r\n');
  expect(answered.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  await until('both lines are in the file', () => linesOf('access').length === 2);
  expect(
    linesOf('access')
      .map(({ status }) => status)
      .sort(),
  ).toEqual([400, 404]);
});

it('tell of many failures at once how many there were', async () => {
  await serve(false);
  await Promise.all(Array.from({ length: 60 }, async (_, index) => await ask('/echo/unwell', `id-${index}`)));
  const told = () => linesOf('ingress').filter(({ msg }) => msg === 'a request failed');
  expect(told().length).toBeLessThan(60);
  const untold = () => told().reduce((sum, line) => sum + Number(line['failuresNotTold'] ?? 0), 0);
  await until('a failure of another second says how many were left out', () => {
    void ask('/echo/unwell', 'id-last').catch(() => undefined);
    return untold() > 0;
  });
});
