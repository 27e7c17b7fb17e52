import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AdminServer } from '../../src/admin/server.ts';
import type { AdminBackend, LogQuery, LogSource, UploadDesk } from '../../src/admin/types.ts';
import { apiKeyOf, clusterKeys } from '../../src/config/token.ts';
import { ServeError } from '../../src/lib/errors.ts';
import { silentLog } from '../../src/lib/log.ts';
import {
  echo,
  echoLive,
  echoMeasurements,
  echoRevisions,
  echoTokens,
  plainRoutes,
} from '../support/admin-parts.ts';
import { adminKeys } from '../support/secrets.ts';

const TOKEN = 'mst_of-the-test';
const KEYS = clusterKeys(TOKEN);

/** Answers with what it was asked, so that a test sees both; a signal reads as {}. */
function echoBackend(over: Partial<Record<keyof AdminBackend, unknown>> = {}): AdminBackend {
  const names = [
    'status',
    'replica',
    'fetches',
    'models',
    'plan',
    'apply',
    'progress',
    'events',
    'stopCluster',
    'stopNode',
  ] as const;
  return { ...echo<AdminBackend>(names), ...over } as AdminBackend;
}

const noLogs: LogSource = {
  open: async (query) => {
    const what = 'deployment' in query ? query.deployment : query.of;
    throw new ServeError(`there is no log of ${what}`, { code: 'LOG_NOT_FOUND' });
  },
};

/** Answers with what it was asked. */
const uploads: UploadDesk = {
  sees: async ({ path }) => path === '/seen',
  offer: async (files) => ({
    upload: 'u',
    missing: files.map(({ sha256, sizeBytes }) => ({ sha256, sizeBytes, heldBytes: 0 })),
  }),
  receive: async (_upload, { offset }, bytes) => {
    let heldBytes = offset;
    for await (const chunk of bytes) heldBytes += (chunk as Buffer).length;
    return heldBytes;
  },
};
/** What a path alone means: a file on the head's own disk. */
const HERE = { confPath: '/p/conf.ini', upload: null };

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function serve(backend = echoBackend(), logs: LogSource = noLogs, isOpen = false) {
  const server = new AdminServer(
    { keys: adminKeys(KEYS), host: '127.0.0.1', port: 0, isReadOnly: false, tls: null, version: '1.2.3' },
    {
      ...{ backend, logs, uploads, log: silentLog, routes: plainRoutes },
      ...{ revisions: echoRevisions, live: echoLive, tokens: echoTokens },
      measurements: { ...echoMeasurements, isOpen },
    },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  const url = `http://127.0.0.1:${server.port}`;
  const call = async (line: string, payload?: unknown, key: string | null = KEYS.apiKey): Promise<Answer> => {
    const [method = 'GET', path = '/'] = line.split(' ');
    const { statusCode, body } = await request(`${url}${path}`, {
      method,
      headers: {
        ...(key === null ? {} : { authorization: `Bearer ${key}` }),
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(payload === undefined
        ? {}
        : { body: typeof payload === 'string' ? payload : JSON.stringify(payload) }),
    });
    const text = await body.text();
    return { status: statusCode, body: text === '' ? null : JSON.parse(text) };
  };
  return { server, url, call };
}

const ROUTES = [
  'GET /api/v1/status',
  'GET /api/v1/events',
  'GET /api/v1/progress?revision=1',
  'GET /api/v1/fetches',
  'GET /api/v1/models',
  'GET /api/v1/nodes',
  'GET /api/v1/gpus',
  'GET /api/v1/deployments',
  'GET /api/v1/deployments/Echo',
  'GET /api/v1/replicas',
  'GET /api/v1/replicas/Echo-1',
  'GET /api/v1/environments',
  'GET /api/v1/revisions',
  'GET /api/v1/revisions/1',
  'GET /api/v1/diff?from=1&to=2',
  'POST /api/v1/validate',
  'POST /api/v1/revisions',
  'POST /api/v1/revisions/1/rollback',
  'GET /api/v1/series',
  'GET /api/v1/live',
  'GET /metrics',
  'GET /api/v1/logs/Echo',
  'POST /api/v1/plan',
  'POST /api/v1/apply',
  'POST /api/v1/stop',
  'POST /api/v1/sees',
  'POST /api/v1/uploads',
  'PUT /api/v1/uploads/u/s',
  'GET /api/v1/elsewhere',
];

it('takes the bytes of an upload as they come, however many', async () => {
  const { url } = await serve();
  const bytes = Buffer.alloc(3 * 1024 ** 2);
  const { statusCode, body } = await request(`${url}/api/v1/uploads/u/s?offset=5`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${KEYS.apiKey}`, 'content-type': 'application/octet-stream' },
    body: bytes,
  });
  expect([statusCode, await body.json()]).toEqual([200, { heldBytes: bytes.length + 5 }]);
});

describe('the key of the cluster', () => {
  it.each(ROUTES)('is asked for at %s', async (route) => {
    let calls = 0;
    const count = () => {
      calls += 1;
    };
    const backend = echoBackend({
      status: count,
      apply: count,
      plan: count,
      stopCluster: count,
      stopNode: count,
      events: count,
    });
    const { call } = await serve(backend);
    for (const key of [null, '', 'wrong', TOKEN, KEYS.linkKey, KEYS.storePassword, `${KEYS.apiKey}x`]) {
      const answer = await call(route, route.startsWith('POST') ? { conf: '/c' } : undefined, key);
      expect(answer, String(key)).toMatchObject({ status: 401, body: { code: 'TOKEN_REFUSED' } });
    }
    expect(calls).toBe(0);
  });

  it('is derived from the token, or is the key itself', async () => {
    const { call } = await serve();
    for (const given of [TOKEN, KEYS.apiKey]) {
      expect(await call('GET /api/v1/status', undefined, apiKeyOf(given))).toMatchObject({ status: 200 });
    }
  });
});

describe('a call', () => {
  it.each<[string, unknown, unknown]>([
    ['GET /api/v1/status', undefined, { call: 'status', given: [] }],
    ['GET /api/v1/replicas/Echo-1', undefined, { call: 'replica', given: ['Echo-1'] }],
    ['GET /api/v1/environments?node=n1', undefined, { call: 'environments', given: ['n1'] }],
    ['GET /api/v1/fetches', undefined, { fetches: { call: 'fetches', given: [] } }],
    ['GET /api/v1/models', undefined, { call: 'models', given: [null] }],
    ['GET /api/v1/models?node=n2', undefined, { call: 'models', given: ['n2'] }],
    ['GET /api/v1/events', undefined, { call: 'events', given: [null, 100] }],
    ['GET /api/v1/events?after=7-0&limit=5', undefined, { call: 'events', given: ['7-0', 5] }],
    [
      'GET /api/v1/progress?revision=3&deployments=Echo,Faces.fast',
      undefined,
      { call: 'progress', given: [{ revision: 3, deployments: ['Echo', 'Faces.fast'] }] },
    ],
    [
      'GET /api/v1/progress?revision=3',
      undefined,
      { call: 'progress', given: [{ revision: 3, deployments: [] }] },
    ],
    ['POST /api/v1/plan', { conf: '/p/conf.ini' }, { call: 'plan', given: [HERE, {}] }],
    ['POST /api/v1/apply', { conf: '/p/conf.ini' }, { call: 'apply', given: [HERE, {}] }],
    [
      'POST /api/v1/plan',
      { conf: 'laptop:/conf.ini', upload: 'u' },
      { call: 'plan', given: [{ confPath: 'laptop:/conf.ini', upload: 'u' }, {}] },
    ],
    ['POST /api/v1/sees', { path: '/seen', identity: 'i', sha256: 's' }, { sees: true }],
    [
      'POST /api/v1/uploads',
      { files: [{ path: 'conf.ini', sizeBytes: 3, sha256: 's', executable: false }] },
      { upload: 'u', missing: [{ sha256: 's', sizeBytes: 3, heldBytes: 0 }] },
    ],
    ['POST /api/v1/stop', undefined, { call: 'stopCluster', given: [] }],
    ['POST /api/v1/nodes/n2/stop', undefined, { call: 'stopNode', given: ['n2'] }],
    ['GET /api/v1/revisions', undefined, { revisions: { call: 'list', given: [] } }],
    ['GET /api/v1/revisions/7', undefined, { call: 'read', given: [7] }],
    ['GET /api/v1/diff?from=2&to=3', undefined, { call: 'diff', given: [2, 3] }],
    ['POST /api/v1/validate', { text: '[a]' }, { call: 'validate', given: ['[a]'] }],
    [
      'POST /api/v1/revisions',
      { text: 'x', base: 4 },
      { call: 'apply', given: [{ base: 4, change: { kind: 'edited', text: 'x' } }, {}] },
    ],
    [
      'POST /api/v1/revisions',
      { text: 'x', dryRun: true },
      { call: 'plan', given: [{ base: null, change: { kind: 'edited', text: 'x' } }, {}] },
    ],
    [
      'POST /api/v1/revisions/3/rollback',
      undefined,
      { call: 'apply', given: [{ base: null, change: { kind: 'rollback', of: 3 } }, {}] },
    ],
    [
      'POST /api/v1/revisions/3/rollback',
      { base: 9, dryRun: true },
      { call: 'plan', given: [{ base: 9, change: { kind: 'rollback', of: 3 } }, {}] },
    ],
    [
      'GET /api/v1/series?deployment=A,B,A&node=*&from=1970-01-01T00:00:10Z&to=70000&step=20',
      undefined,
      {
        call: 'series',
        given: [
          { deployments: ['A', 'B'], nodes: null, total: false, fromMs: 10_000, toMs: 70_000, stepS: 20 },
        ],
      },
    ],
  ])('%s', async (route, payload, body) => {
    const { call } = await serve();
    expect(await call(route, payload)).toEqual({ status: 200, body });
  });

  it.each<[string, unknown, number, string]>([
    ['GET /api/v1/nothing', undefined, 404, 'NOT_FOUND'],
    ['DELETE /api/v1/status', undefined, 404, 'NOT_FOUND'],
    ['GET /api/v1/events?limit=0', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/progress', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/progress?revision=-1', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/logs/Echo?lines=many', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/logs/Echo', undefined, 404, 'LOG_NOT_FOUND'],
    ['POST /api/v1/apply', {}, 400, 'BAD_REQUEST'],
    ['GET /api/v1/revisions/0', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/revisions/x', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/diff?from=1', undefined, 400, 'BAD_REQUEST'],
    ['POST /api/v1/validate', {}, 400, 'BAD_REQUEST'],
    ['POST /api/v1/revisions', { text: 'x', base: 'new' }, 400, 'BAD_REQUEST'],
    ['GET /api/v1/series?from=yesterday', undefined, 400, 'BAD_REQUEST'],
    ['GET /api/v1/series?step=1', undefined, 400, 'BAD_REQUEST'],
    ['POST /api/v1/apply', { conf: '' }, 400, 'BAD_REQUEST'],
    ['POST /api/v1/apply', '{"conf": ', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  ])('%s with %j is answered with %i %s', async (route, payload, status, code) => {
    const { call } = await serve();
    expect(await call(route, payload)).toMatchObject({ status, body: { code, info: expect.any(String) } });
  });

  it.each([
    ['STORE_UNREACHABLE', 503],
    ['NOT_LEADER', 503],
    ['APPLY_TIMEOUT', 503],
    ['SOMETHING_ELSE', 500],
  ])('that fails with %s is answered with %i and the reason', async (code, status) => {
    const apply = async () => {
      throw new ServeError('for this reason', { code });
    };
    const { call } = await serve(echoBackend({ apply }));
    expect(await call('POST /api/v1/apply', { conf: '/c' })).toEqual({
      status,
      body: { code, info: 'for this reason' },
    });
  });
});

describe('logs', () => {
  /** Lines until the signal; says when it was aborted. */
  class EndlessLog implements LogSource {
    asked: LogQuery | null = null;
    ended = false;

    async open(query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<string>> {
      this.asked = query;
      return this.#lines(signal);
    }

    async *#lines(signal: AbortSignal): AsyncGenerator<string> {
      yield 'first\n';
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      this.ended = true;
    }
  }

  it('come as they are written, and end when the client leaves', async () => {
    const logs = new EndlessLog();
    const { url } = await serve(echoBackend(), logs);
    const leave = new AbortController();
    const { body } = await request(`${url}/api/v1/logs/Echo?replica=Echo-1&lines=5&follow=1`, {
      headers: { authorization: `Bearer ${KEYS.apiKey}` },
      signal: leave.signal,
    });
    const [first] = await body.take(1).toArray();
    expect(String(first)).toBe('first\n');
    expect(logs.asked).toEqual({
      ...{ of: 'replicas', node: null, deployment: 'Echo', replicaId: 'Echo-1' },
      ...{ lines: 5, follow: true },
    });
    leave.abort();
    body.on('error', () => undefined);
    await expect.poll(() => logs.ended).toBe(true);
  });

  it('end when the server stops', async () => {
    const logs = new EndlessLog();
    const { server, url } = await serve(echoBackend(), logs);
    const { body } = await request(`${url}/api/v1/logs/Echo?follow=1`, {
      headers: { authorization: `Bearer ${KEYS.apiKey}` },
    });
    await body.take(1).toArray();
    body.on('error', () => undefined);
    await server.stop();
    await expect.poll(() => logs.ended).toBe(true);
  });
});

describe('metrics', () => {
  const read = async (url: string, key: string | null) =>
    await fetch(`${url}/metrics`, key === null ? {} : { headers: { authorization: `Bearer ${key}` } });

  it('need the key of the cluster or that of metrics, which is good for nothing else', async () => {
    const { url, call } = await serve();
    for (const key of [KEYS.apiKey, KEYS.metricsKey]) {
      const answer = await read(url, key);
      expect([answer.status, await answer.text()]).toEqual([200, 'up 1\n']);
      expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    }
    expect((await read(url, null)).status).toBe(401);
    expect(await call('GET /api/v1/status', undefined, KEYS.metricsKey)).toMatchObject({ status: 401 });
  });

  it('need no key where the cluster says so', async () => {
    const { url, call } = await serve(echoBackend(), noLogs, true);
    expect((await read(url, null)).status).toBe(200);
    expect(await call('GET /api/v1/status', undefined, null)).toMatchObject({ status: 401 });
  });
});

describe('what describes the API', () => {
  it('is there without a key, and names every call with its parameters', async () => {
    const { url, call } = await serve();
    const { status, body } = await call('GET /api/v1/openapi.json', undefined, null);
    expect(status).toBe(200);
    const document = body as { openapi: string; paths: Record<string, Record<string, unknown>> };
    expect(document).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } });
    expect(document.paths['/api/v1/logs/{deployment}']?.['get']).toMatchObject({
      parameters: [
        { name: 'deployment', in: 'path', required: true, schema: { type: 'string' } },
        { name: 'node', in: 'query', required: false },
        { name: 'lines', schema: { type: 'integer', default: 100 } },
        { name: 'follow', schema: { enum: ['0', '1'] } },
        { name: 'replica', in: 'query', required: false },
      ],
      responses: { '200': { content: { 'text/plain': {} } } },
    });
    expect(document.paths['/api/v1/validate']?.['post']).toMatchObject({
      requestBody: { content: { 'application/json': { schema: { required: ['text'] } } } },
      responses: { '200': { content: { 'application/json': { schema: { required: ['ok', 'findings'] } } } } },
    });
    const page = await (await fetch(`${url}/docs`)).text();
    for (const path of Object.keys(document.paths)) expect(page).toContain(path);
  });
});

it('sends messages as server-sent events, behind the last that the client has', async () => {
  const { url } = await serve();
  for (const [path, headers] of [
    ['/api/v1/live', { 'last-event-id': 'x-1' }],
    ['/api/v1/live?after=x-1', {}],
  ] as const) {
    const answer = await fetch(`${url}${path}`, {
      headers: { authorization: `Bearer ${KEYS.apiKey}`, ...headers },
    });
    expect(answer.headers.get('content-type')).toContain('text/event-stream');
    expect(await answer.text()).toBe(
      'retry: 1000\n\nid: 1\nevent: event\ndata: {"id":"7","atMs":0,"type":"x-1","fields":{}}\n\n',
    );
  }
});
