import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltRunner, buildRunner } from './build.ts';
import {
  type Answer,
  eventually,
  type SendOptions,
  startReplica,
  type TestReplica,
} from './replica-harness.ts';

const BACKEND = `
const FAILED = '{"info": "a ü", "status": 0}';
const json = (body, status = 200) => new Response(body, { status, headers: { 'content-type': 'Application/JSON; charset=utf-8' } });
const MADE = {
  map: () => new Map([['status', 0]]),
  toJSON: () => ({ toJSON: () => ({ status: 0 }) }),
  response: () => json(FAILED),
  responseJson: () => Response.json({ status: 0 }),
  ok: () => Response.json({ status: 1 }),
  inside: () => Response.json({ inner: { status: 0 } }),
  unfinished: () => json('{"status": 0'),
  text: () => new Response(FAILED),
  refusal: () => json(FAILED, 422),
  false: () => json('{"status": false}'),
  list: () => json('[' + FAILED + ']'),
  long: () => json(FAILED + ' '.repeat(20_000)),
  otherJSON: () => ({ status: 0, toJSON: () => ({ status: 1 }) }),
};
export class EchoBackend {
  constructor(modelPath) { this.modelPath = modelPath; }
  async call(request) {
    switch (request.path) {
      case '/json': return { got: await request.json(), modelPath: this.modelPath };
      case '/text': return 'grüße ' + (await request.text());
      case '/bytes': { const body = await request.body(); return body.reverse(); }
      case '/about': return { method: request.method, url: request.url, path: request.path, id: request.id,
        client: request.client, kind: request.headers.get('X-Kind'), query: request.queryParams.getAll('a') };
      case '/form': { const form = await request.form(); const file = form.get('file');
        return { name: form.get('name'), file: typeof file === 'object' && file ? [file.name, await file.text()] : null }; }
      case '/response': return new Response('teapot', { status: 418, headers: { 'x-a': '1' } });
      case '/image': return new Response(await request.body(), { headers: { 'content-type': 'image/png' } });
      case '/bad-headers': return new Response('x', { headers: { 'x-a': 'y'.repeat(70_000) } });
      case '/nan': return { scores: [1, 2, 3, NaN] };
      case '/nothing': return undefined;
      case '/made': return MADE[request.queryParams.get('kind')]();
      case '/failed': return { status: 0, info: 'my own words' };
      case '/throw': throw new TypeError('broken model');
      case '/large': return new Uint8Array(Number(request.queryParams.get('size'))).fill(7);
      case '/lines': return (async function* () { for (let i = 0; i < 3; i += 1) yield { i }; })();
      case '/words': return (function* () { yield 'a'; yield 'b'; })();
      case '/throw-later': return (async function* () { yield 'a'; throw new Error('in the middle'); })();
      case '/throw-first': return (async function* () { throw new Error('at once'); })();
      default: throw new Error('no such case');
    }
  }
}`;

let runner: BuiltRunner;
let replica: TestReplica;

beforeAll(async () => {
  runner = await buildRunner();
  replica = await startReplica({
    main: runner.main,
    files: { 'backend.mjs': BACKEND },
    launch: { model_path: '/zoo,m1' },
  });
});

afterAll(async () => {
  await replica?.stop();
  await runner?.remove();
});

function ask(path: string, options: SendOptions = {}): Promise<Answer> {
  return replica.send({ ...options, head: { path, ...options.head } }).answer;
}

const contentType = (answer: Answer): string | undefined =>
  answer.head?.headers.find(([name]) => name === 'content-type')?.[1];

describe('a request', () => {
  it('gives its JSON, or its query parameters where there is no body', async () => {
    const sent = await ask('/json', { body: '{"a":[1]}' });
    expect(JSON.parse(sent.body.toString())).toEqual({ got: { a: [1] }, modelPath: '/zoo,m1' });
    expect(contentType(sent)).toBe('application/json');
    const query = await ask('/json', { head: { query: 'a=1&a=2&b=x%20y' } });
    expect(JSON.parse(query.body.toString())).toMatchObject({ got: { a: '2', b: 'x y' } });
  });

  it('tells what it is', async () => {
    const headers = [
      ['host', 'node:8000'],
      ['x-kind', 'k'],
    ] as const;
    const answer = await ask('/about', { head: { method: 'GET', query: 'a=1&a=2', headers, id: 'r-1' } });
    expect(JSON.parse(answer.body.toString())).toEqual({
      method: 'GET',
      url: 'http://node:8000/about?a=1&a=2',
      path: '/about',
      id: 'r-1',
      client: { host: '10.0.0.7', port: 4242 },
      kind: 'k',
      query: ['1', '2'],
    });
  });

  it.each([
    ['application/x-www-form-urlencoded', 'name=Ann+B', { name: 'Ann B', file: null }],
    [
      'multipart/form-data; boundary=xx',
      '--xx\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhi\r\n--xx--\r\n',
      { name: null, file: ['a.txt', 'hi'] },
    ],
  ])('reads a form: %s', async (type, body, expected) => {
    const answer = await ask('/form', { body, head: { headers: [['content-type', type]] } });
    expect(JSON.parse(answer.body.toString())).toEqual(expected);
  });

  it.each([0, 256, 16 * 1024, 16 * 1024 + 1])('has the bytes that were sent: %i', async (size) => {
    const body = Buffer.from(Array.from({ length: size }, (_, index) => index % 256));
    const answer = await ask('/bytes', { body });
    expect(answer.body.equals(Buffer.from(body).reverse())).toBe(true);
  });

  it('may have a body larger than the window', async () => {
    const body = Buffer.alloc(5 * 1024 * 1024, 'ab');
    const answer = await ask('/bytes', { body });
    expect(answer.body.equals(Buffer.from(body).reverse())).toBe(true);
    expect(contentType(answer)).toBe('application/octet-stream');
  });
});

describe('an answer', () => {
  it('of a string is text', async () => {
    const answer = await ask('/text', { body: 'wörld' });
    expect([answer.body.toString(), contentType(answer)]).toEqual([
      'grüße wörld',
      'text/plain; charset=utf-8',
    ]);
  });

  it('of nothing is null', async () => {
    expect((await ask('/nothing')).body.toString()).toBe('null');
  });

  it('may be a Response, which is taken as it is', async () => {
    const answer = await ask('/response');
    expect([answer.head?.status, answer.body.toString(), answer.head?.ok]).toEqual([418, 'teapot', true]);
    expect(answer.head?.headers).toContainEqual(['x-a', '1']);
  });

  it('may be the bytes of an image, with their own content type', async () => {
    const image = Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), randomBytes(300_000)]);
    const answer = await ask('/image', { body: image, head: { headers: [['content-type', 'image/png']] } });
    expect(answer.body.equals(image)).toBe(true);
    expect(contentType(answer)).toBe('image/png');
  });

  it.each(['/large?0', '/large?1', '/large?65536', '/large?3000000'])(
    'may have any size: %s',
    async (path) => {
      const size = Number(path.split('?')[1]);
      const answer = await ask('/large', { head: { query: `size=${size}` } });
      expect(answer.body.equals(Buffer.alloc(size, 7))).toBe(true);
    },
  );

  it('waits for its reader: no more than the window leaves before a grant', async () => {
    let received = 0;
    let granted = 0;
    const request = replica.send({
      head: { path: '/large', query: 'size=3000000' },
      onData: (chunk) => {
        received += chunk.length;
        return 0;
      },
    });
    await eventually('the window is used up', () => received === 1024 * 1024);
    await replica.json({}); // another request gets through meanwhile
    expect(received).toBe(1024 * 1024);
    granted = 3_000_000;
    request.stream.grant(granted);
    expect((await request.answer).body.length).toBe(3_000_000);
  });

  it('of an iterable is streamed: objects as lines of JSON, text as it is', async () => {
    const lines = await ask('/lines');
    expect([lines.body.toString(), contentType(lines)]).toEqual([
      '{"i":0}\n{"i":1}\n{"i":2}\n',
      'application/x-ndjson',
    ]);
    expect((await ask('/words')).body.toString()).toBe('ab');
  });
});

describe('a failure', () => {
  it('of user code is 500 in the shape of the framework, its traceback only where allowed', async () => {
    const hidden = await ask('/throw', { head: { id: 'r-2' } });
    expect([hidden.head?.status, hidden.head?.ok]).toEqual([500, false]);
    expect(JSON.parse(hidden.body.toString())).toEqual({
      status: 0,
      code: 'BACKEND_ERROR',
      info: 'the backend threw TypeError; the log of its replica has the traceback under this request id',
      request_id: 'r-2',
    });
    const shown = await ask('/throw', { head: { expose_errors: true } });
    expect(JSON.parse(shown.body.toString()).info).toMatch(/TypeError: broken model\n.*backend\.mjs:/);
    expect(await replica.log()).toContain('request r-2 failed: TypeError: broken model');
  });

  it('of the encoding names the path', async () => {
    const answer = await ask('/nan');
    expect(answer.head?.status).toBe(500);
    expect(JSON.parse(answer.body.toString()).info).toContain('result.scores[3] is NaN');
  });

  it('that the class reports itself is a 200 that counts as failed', async () => {
    const answer = await ask('/failed');
    expect([answer.head?.status, answer.head?.ok]).toEqual([200, false]);
    expect(JSON.parse(answer.body.toString())).toEqual({ status: 0, info: 'my own words' });
  });

  it.each([
    ...['map', 'toJSON', 'response', 'responseJson'].map((kind) => [kind, false] as const),
    ...['ok', 'inside', 'unfinished', 'text', 'refusal', 'false', 'list', 'long', 'otherJSON'].map(
      (kind) => [kind, true] as const,
    ),
  ])('that is said by %s of the class counts as ok: %s', async (kind, ok) => {
    const answer = await ask('/made', { head: { query: `kind=${kind}` } });
    expect(answer.head?.ok).toBe(ok);
  });

  it.each([
    ['/json', 'BAD_JSON'],
    ['/form', 'BAD_FORM'],
  ])('of the body is 400 when user code lets it pass: %s', async (path, code) => {
    const answer = await ask(path, { body: '{"a":' });
    expect([answer.head?.status, JSON.parse(answer.body.toString()).code]).toEqual([400, code]);
  });

  it('before the first chunk is 500, after it the stream fails', async () => {
    expect((await ask('/throw-first')).head?.status).toBe(500);
    const later = await ask('/throw-later');
    expect([later.kind, later.reason, later.body.toString()]).toEqual(['failed', 'BACKEND_ERROR', 'a']);
    expect((await ask('/words')).body.toString()).toBe('ab');
  });

  it('of headers that are too large is 500', async () => {
    const answer = await ask('/bad-headers');
    expect(answer.head?.status).toBe(500);
    expect(JSON.parse(answer.body.toString()).info).toContain('over the limit');
  });
});
