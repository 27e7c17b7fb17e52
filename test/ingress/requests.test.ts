import http from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FakeCall } from './fake-replica.ts';
import { call, raw, routeOf, TestNode, until } from './test-node.ts';

let node: TestNode;

beforeEach(() => {
  node = new TestNode();
});

afterEach(async () => {
  await node.close();
});

/** Answers with what it was asked, as JSON. */
function mirror({ head, body, answer }: FakeCall): void {
  void body.then((bytes) => answer(JSON.stringify({ ...head, body: bytes.toString('utf8') })));
}

describe('a request', () => {
  it('reaches the replica as it was sent, and its answer the client', async () => {
    await node.serve({ 'Echo-1': mirror });
    const answer = await call(node.port, {
      method: 'GET',
      path: '/echo/sub%20path?a=1&b=2',
      body: '{"text": 1}',
      headers: {
        'content-type': 'application/json',
        'x-custom': ['one', 'two'],
        connection: 'x-secret',
        'x-secret': 's',
      },
    });
    expect(answer.status).toBe(200);
    const seen = JSON.parse(answer.text);
    expect(seen).toMatchObject({
      method: 'GET',
      path: '/echo/sub%20path',
      query: 'a=1&b=2',
      body: '{"text": 1}',
      replica: 'Echo-1',
      scheme: 'http',
      expose_errors: false,
    });
    expect(seen.headers).toContainEqual(['x-custom', 'one']);
    expect(seen.headers).toContainEqual(['x-custom', 'two']);
    expect(seen.headers).toContainEqual(['content-length', '11']);
    expect(seen.headers).toContainEqual(['x-request-id', seen.id]);
    const names = seen.headers.map(([name]: [string]) => name);
    expect(names).not.toContain('connection');
    expect(names).not.toContain('x-secret');
    expect(seen.client[0]).toBe('127.0.0.1');
    expect(seen.timeout_ms).toBeGreaterThan(9_000);
    expect(answer.headers['x-request-id']).toBe(seen.id);
  });

  it.each([
    ['always', '127.0.0.1', true],
    ['loopback', '127.0.0.1', true],
    ['loopback', '0.0.0.0', false],
    ['never', '127.0.0.1', false],
  ] as const)('with expose_errors = %s on %s: %s', async (exposeErrors, host, wanted) => {
    await node.start({ host });
    await node.serve({ 'Echo-1': mirror }, { route: { exposeErrors } });
    expect(JSON.parse((await call(node.port)).text).expose_errors).toBe(wanted);
  });

  it('keeps the id of its client where that is sane, and gets one otherwise', async () => {
    await node.serve({ 'Echo-1': mirror });
    const kept = await call(node.port, { headers: { 'x-request-id': 'order-17:b' } });
    expect(kept.headers['x-request-id']).toBe('order-17:b');
    expect(JSON.parse(kept.text).id).toBe('order-17:b');
    for (const id of ['with space', 'x'.repeat(129), 'ü']) {
      const made = await call(node.port, { headers: { 'x-request-id': id } });
      expect(made.headers['x-request-id']).toMatch(/^[\w-]{8,}$/);
    }
  });

  it.each([
    ['/echo', 'Echo'],
    ['/echo/', 'Echo'],
    ['/echo/deep/er', 'Echo'],
    ['/echo/v2/x', 'EchoTwo'],
    ['/%65cho', 'Echo'],
    ['/echoes', null],
    ['/', null],
    ['/ech', null],
  ])('%s goes to %s: the longest route wins', async (path, deployment) => {
    await node.serve({ 'Echo-1': mirror });
    await node.replica('Two-1', ({ answer }) => answer('"EchoTwo"'));
    await node.publish([
      routeOf(),
      routeOf({
        deployment: 'EchoTwo',
        route: 'echo/v2',
        endpoints: [{ replicaId: 'Two-1', nodeId: node.nodeId }],
      }),
    ]);
    await node.connected('Echo-1', 'Two-1');
    const answer = await call(node.port, { path });
    if (deployment === null) {
      expect(answer.status).toBe(404);
      expect(answer.json()).toMatchObject({ status: 0, code: 'ROUTE_NOT_FOUND' });
      expect(answer.json().info).toContain('/echo, /echo/v2');
      expect(answer.json().request_id).toBe(answer.headers['x-request-id']);
    } else expect(answer.text.includes('EchoTwo')).toBe(deployment === 'EchoTwo');
  });

  it('is checked for its method; POST always passes, HEAD with GET', async () => {
    await node.serve({ 'Echo-1': mirror }, { route: { methods: ['GET'] } });
    expect((await call(node.port, { method: 'POST', body: 'x' })).status).toBe(200);
    const refused = await call(node.port, { method: 'DELETE' });
    expect(refused.status).toBe(405);
    expect(refused.headers.allow).toBe('GET, POST, OPTIONS, HEAD');
    const head = await call(node.port, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.text).toBe('');
    expect(Number(head.headers['content-length'])).toBeGreaterThan(0);
    const options = await call(node.port, { method: 'OPTIONS' });
    expect(options.status).toBe(204);
    expect(options.headers.allow).toContain('GET');
  });

  it('may shorten its deadline, but not garble it', async () => {
    await node.serve({ 'Echo-1': mirror });
    const shortened = await call(node.port, { headers: { 'x-request-timeout-seconds': '1.5' } });
    expect(JSON.parse(shortened.text).timeout_ms).toBeLessThanOrEqual(1_500);
    const longer = await call(node.port, { headers: { 'x-request-timeout-seconds': '9999' } });
    expect(JSON.parse(longer.text).timeout_ms).toBeLessThanOrEqual(10_000);
    for (const value of ['soon', '-1', '0', '1e3', '']) {
      const answer = await call(node.port, { headers: { 'x-request-timeout-seconds': value } });
      expect(answer.status, value).toBe(400);
      expect(answer.json().code).toBe('BAD_TIMEOUT');
    }
  });

  it('over the size limit gets 413, announced or chunked, and the next on its connection works', async () => {
    await node.serve({ 'Echo-1': mirror }, { table: { maxBodyBytes: 1_000 } });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const announced = await call(node.port, { body: Buffer.alloc(1_001), agent });
    expect(announced.status).toBe(413);
    expect(announced.json().code).toBe('BODY_TOO_LARGE');
    const chunked = await call(node.port, {
      body: Buffer.alloc(100_000),
      agent,
      headers: { 'transfer-encoding': 'chunked' },
    });
    expect(chunked.status).toBe(413);
    expect((await call(node.port, { body: Buffer.alloc(1_000), agent })).status).toBe(200);
    agent.destroy();
  });

  it('that is pipelined is answered in order', async () => {
    const calls: FakeCall[] = [];
    await node.serve({ 'Echo-1': (asked) => calls.push(asked) });
    const request = (path: string) => `GET /echo/${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
    const text = raw(node.port, request('a') + request('b') + request('c'), (so) => so.includes('/echo/c"'));
    await until('all three at the replica', () => calls.length === 3);
    for (const asked of calls.toReversed()) asked.answer(JSON.stringify(asked.head.path));
    expect((await text).match(/"\/echo\/\w"/g)).toEqual(['"/echo/a"', '"/echo/b"', '"/echo/c"']);
  });

  it('with a chunked answer, one without body, a status and headers of its own gets them', async () => {
    const script = ({ head, stream, answer }: FakeCall) => {
      if (head.path.endsWith('/empty')) stream.respond({ status: 204, headers: [], ok: true }, true);
      else if (head.path.endsWith('/none')) stream.respond({ status: 200, headers: [], ok: true }, true);
      else if (head.path.endsWith('/teapot')) answer('{}', { status: 418 });
      else {
        stream.respond(
          {
            status: 200,
            headers: [
              ['set-cookie', 'a'],
              ['set-cookie', 'b'],
              ['connection', 'close'],
            ],
            ok: true,
          },
          false,
        );
        stream.write(Buffer.from('one '), false);
        setImmediate(() => stream.write(Buffer.from('two'), true));
      }
    };
    await node.serve({ 'Echo-1': script }, { replica: { maxOngoing: 100 } });
    const chunked = await call(node.port);
    expect(chunked.text).toBe('one two');
    expect(chunked.headers['set-cookie']).toEqual(['a', 'b']);
    expect((await call(node.port, { path: '/echo/empty' })).status).toBe(204);
    expect((await call(node.port, { path: '/echo/none' })).headers['content-length']).toBe('0');
    expect((await call(node.port, { path: '/echo/teapot' })).status).toBe(418);
  });

  it('whose answer is not what HTTP allows gets 502, or is cut where it has begun', async () => {
    const script = ({ head, stream }: FakeCall) => {
      if (head.path.endsWith('/header'))
        stream.respond({ status: 200, headers: [['x-a', 'b\r\nx-c: d']], ok: true }, true);
      else if (head.path.endsWith('/status')) stream.respond({ status: 99, headers: [], ok: true }, true);
      else {
        stream.respond({ status: 200, headers: [['content-length', '5']], ok: true }, false);
        stream.write(Buffer.from(head.path.endsWith('/short') ? 'abc' : 'abcdefgh'), true);
      }
    };
    await node.serve({ 'Echo-1': script }, { replica: { maxOngoing: 100 } });
    for (const path of ['/echo/header', '/echo/status']) {
      const answer = await call(node.port, { path });
      expect(answer.status).toBe(502);
      expect(answer.json().code).toBe('BAD_ANSWER');
    }
    await expect(call(node.port, { path: '/echo/short' })).rejects.toThrow();
    await expect(call(node.port, { path: '/echo/long' })).rejects.toThrow();
  });

  it('that fails after its answer has begun is cut behind what was sent, all of which arrives', async () => {
    await node.serve({
      'Echo-1': ({ stream }) => {
        stream.respond({ status: 200, headers: [['content-type', 'text/event-stream']], ok: true }, false);
        stream.write(Buffer.from('data: 1\n\n'), false);
        stream.write(Buffer.from('event: error\ndata: {}\n\n'), false);
        stream.fail({ code: 'BACKEND_ERROR', info: 'in the middle' });
      },
    });
    const response = await fetch(`http://127.0.0.1:${node.port}/echo`, { method: 'POST', body: 'x' });
    let text = '';
    const read = async (): Promise<void> => {
      for await (const part of response.body ?? []) text += Buffer.from(part).toString();
    };
    await expect(read(), 'no proper end').rejects.toThrow();
    expect(text).toBe('data: 1\n\nevent: error\ndata: {}\n\n');
  });

  it('counts as an application error where the runner says so, and as a framework error otherwise', async () => {
    await node.serve({ 'Echo-1': ({ answer }) => answer('{"status": 0}', { ok: false }) });
    await call(node.port);
    await call(node.port, { method: 'PUT' });
    await call(node.port, { headers: { 'x-request-timeout-seconds': 'x' } });
    expect(node.ingress.state.deployments[0]).toMatchObject({
      requests: 1,
      applicationErrors: 1,
      frameworkErrors: { BAD_TIMEOUT: 1 },
    });
  });
});

describe('what is no proper request', () => {
  beforeEach(async () => {
    await node.start({ limits: { headersTimeoutMs: 200, maxHeaderBytes: 8 * 1024 } });
    await node.serve({ 'Echo-1': mirror });
  });

  afterEach(async () => {
    expect((await call(node.port)).status).toBe(200); // the next request works
  });

  it.each([
    ['garbage', 'NOT HTTP AT ALL\r\n\r\n', '400 Bad Request', 'BAD_REQUEST'],
    [
      'two lengths',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      '400',
      'BAD_REQUEST',
    ],
    [
      'length and chunks',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      '400',
      'BAD_REQUEST',
    ],
    [
      'large headers',
      `GET /echo HTTP/1.1\r\nhost: x\r\nx-a: ${'a'.repeat(9_000)}\r\n\r\n`,
      '431',
      'HEADERS_TOO_LARGE',
    ],
    ['headers that never end', 'GET /echo HTTP/1.1\r\nhost: x\r\nx-slow: ', '408', 'REQUEST_TIMEOUT'],
  ])('%s gets an answer and a close', async (_name, bytes, status, code) => {
    const text = await raw(node.port, bytes);
    expect(text).toContain(`HTTP/1.1 ${status}`);
    expect(text).toContain(`"code":"${code}"`);
  });

  it.each([
    ['a path that is not UTF-8', '404', 'GET /echo%ff/%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
    [
      'an absolute target',
      '200',
      'GET http://elsewhere/echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
    ],
    ['an unusual method', '405', 'PROPFIND /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'],
    ['HTTP/1.0', '200', 'GET /echo HTTP/1.0\r\n\r\n'],
    ['a path of slashes', '404', `GET ${'/'.repeat(7_000)} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`],
  ])('%s is answered %s', async (_name, status, bytes) => {
    expect(await raw(node.port, bytes)).toContain(`HTTP/1.1 ${status}`);
  });
});

it.each<[string, (bytes: number) => string]>([
  ['quotes', (bytes) => `x: ${'"'.repeat(bytes)}\r\n`],
  ['letters outside of ASCII', (bytes) => `x: ${'\xe4'.repeat(bytes)}\r\n`],
  ['many fields', (bytes) => `x: ${'"'.repeat(bytes / 500 - 5)}\r\n`.repeat(500)],
])('headers of %s reach the replica up to the limit, and are refused beyond it', async (_of, headers) => {
  await node.serve({ 'Echo-1': ({ answer }) => answer('fine') });
  const request = (bytes: number) => `GET /echo HTTP/1.1\r\nhost: x\r\n${headers(bytes)}\r\n`;
  expect(await raw(node.port, request(23_000), (text) => text.endsWith('fine'))).toContain('200 OK');
  // Node 20 does not count what stands between names and values, later ones do
  expect(await raw(node.port, request(32_000))).toContain('HEADERS_TOO_LARGE');
  expect((await call(node.port)).text).toBe('fine');
});

describe('under /-/', () => {
  it('says that the process lives, whose cluster it is of, and what it serves', async () => {
    await node.start();
    const health = await call(node.port, { method: 'GET', path: '/-/healthz' });
    expect(health.status).toBe(200);
    expect(health.headers['x-modelserve-cluster']).toBe('test');
    const early = await call(node.port, { method: 'GET', path: '/-/readyz' });
    expect(early.status).toBe(503);
    expect(early.json().info).toContain('no routing table');
    await node.serve({ 'Echo-1': mirror });
    expect((await call(node.port, { method: 'GET', path: '/-/readyz' })).status).toBe(200);
    expect((await call(node.port, { method: 'GET', path: '/-/readyz/echo' })).status).toBe(200);
    expect((await call(node.port, { method: 'GET', path: '/-/readyz/other' })).status).toBe(503);
    const routes = await call(node.port, { method: 'GET', path: '/-/routes' });
    expect(JSON.parse(routes.text).routes).toEqual([
      {
        route: '/echo',
        deployment: 'Echo',
        methods: ['GET', 'POST'],
        availability: 'expected',
        replicas: 1,
        ready: 1,
      },
    ]);
    expect((await call(node.port, { method: 'GET', path: '/-/nothing' })).status).toBe(404);
    node.replicas.get('Echo-1')?.become('draining');
    await until('it is not ready', () => node.ingress.state.deployments[0]?.ready === 0);
    const later = await call(node.port, { method: 'GET', path: '/-/readyz/echo' });
    expect(later.status).toBe(503);
    expect(later.json().info).toContain('Echo has no ready replica');
  });
});
