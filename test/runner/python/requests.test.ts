import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChannelClient, RequestOptions } from './channel-client.ts';
import { python } from './interpreters.ts';
import { TestReplica } from './replica.ts';

const backend = readFileSync(new URL('./fixtures/requests.py', import.meta.url), 'utf8');

describe.skipIf(python === null).each(['Backend', 'AsyncBackend'])('requests to %s', (name) => {
  let replica: TestReplica;
  let client: ChannelClient;

  beforeAll(async () => {
    replica = new TestReplica({ python: python?.path ?? '', backend, launch: { backend: name } }).start();
    client = await (await replica.connect()).ready();
  });
  afterAll(() => replica.dispose());

  async function ask(
    want: string,
    options: RequestOptions = {},
  ): Promise<Record<string, unknown> & { body?: Buffer }> {
    const headers = [['x-want', want] as const, ...(options.headers ?? [])];
    const outcome = await client.request({ ...options, headers }).outcome;
    if (outcome.kind !== 'response') throw new Error(JSON.stringify(outcome));
    const json: unknown =
      outcome.headers['content-type'] === 'application/json' ? JSON.parse(outcome.body.toString()) : null;
    return { status: outcome.status, ok: outcome.ok, json, body: outcome.body };
  }

  it('shows method, address, headers, query, client and cookies', async () => {
    const { json } = await ask('all', {
      method: 'POST',
      path: '/echo/sub',
      query: 'a=1&a=%C3%BC&b=',
      scheme: 'https',
      client: ['10.0.0.9', 1234],
      headers: [
        ['Host', 'Example.org:8000'],
        ['X-Twice', 'one'],
        ['x-twice', 'two'],
        ['cookie', 'a=1; b="two%20"; junk'],
      ],
    });
    expect(json).toEqual({
      method: 'POST',
      url: 'https://Example.org:8000/echo/sub?a=1&a=%C3%BC&b=',
      path: '/echo/sub',
      query: 'a=1&a=%C3%BC&b=',
      hostname: 'example.org',
      port: 8000,
      header: ['one', 'one', ['one', 'two'], 'default', true, 4],
      query_params: ['ü', ['1', 'ü'], { a: 'ü', b: '' }],
      path_params: {},
      client: ['10.0.0.9', 1234],
      cookies: { a: '1', b: 'two ' },
    });
  });

  it('gives the query parameters as JSON where there is no body', async () => {
    expect(await ask('json', { query: 'a=1&b=x%20y' })).toMatchObject({
      json: { json: { a: '1', b: 'x y' }, again: { a: '1', b: 'x y' } },
    });
  });

  it('answers 400 where a body that is not JSON is asked for as JSON, with the position, and is no failure', async () => {
    const answer = await ask('json', { body: '{"a": }', id: 'bad-1' });
    expect(answer).toMatchObject({
      status: 400,
      ok: true,
      json: { status: 0, code: 'BAD_JSON', request_id: 'bad-1' },
    });
    expect((answer['json'] as { info: string }).info).toContain('line 1 column 7 (char 6)');
    for (const body of [Buffer.from([0xff]), '['.repeat(200_000), `{"a":${'[{"b":'.repeat(50_000)}`]) {
      expect(await ask('json', { body })).toMatchObject({ status: 400, json: { code: 'BAD_JSON' } });
    }
  });

  it("does not take the backend's own JSON errors for the client's", async () => {
    expect(await ask('own-json-error')).toMatchObject({ status: 500, ok: false });
  });

  it('reads urlencoded forms', async () => {
    const headers = [['content-type', 'application/x-www-form-urlencoded']] as const;
    expect(await ask('form', { body: 'a=1&b=%C3%BC&a=2&c=', headers })).toMatchObject({
      json: { a: ['1', '2'], b: ['ü'], c: [''] },
    });
  });

  it('reads multipart forms with files', async () => {
    const form = new FormData();
    form.append('text', 'grüße\r\n--not the boundary');
    form.append(
      'file',
      new Blob([Buffer.from([0, 13, 10, 45, 45, 255])], { type: 'image/png' }),
      'bild "1" ü.png',
    );
    form.append('file', new Blob([]), 'empty.bin');
    const encoded = new Response(form);
    const body = new Uint8Array(await encoded.arrayBuffer());
    const headers = [['content-type', encoded.headers.get('content-type') ?? '']] as const;
    expect(await ask('form', { body, headers })).toMatchObject({
      json: {
        text: ['grüße\r\n--not the boundary'],
        file: [
          ['bild %221%22 ü.png', 'image/png', 6, '\0\r\n--\xff'],
          ['empty.bin', 'application/octet-stream', 0, ''],
        ],
      },
    });
  });

  it('reads any multipart form that fetch writes', async () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'é', '\r', '\n', '-', '"', ';', ' ') });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 4 }),
        text,
        async (files, value) => {
          const form = new FormData();
          form.append('value', value);
          for (const content of files) form.append('file', new Blob([Buffer.from(content)]), 'f');
          const encoded = new Response(form);
          const body = new Uint8Array(await encoded.arrayBuffer());
          const headers = [['content-type', encoded.headers.get('content-type') ?? '']] as const;
          const { json } = await ask('form', { body, headers });
          const { file = [], value: values } = json as { file?: unknown[][]; value: string[] };
          expect(file.map((each) => each[3])).toEqual(
            files.map((each) => Buffer.from(each).toString('latin1')),
          );
          expect(values).toEqual([value.replace(/\r\n|\r|\n/g, '\r\n')]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each([
    ['multipart/form-data', 'x'],
    ['multipart/form-data; boundary=b', '--b\r\nno end'],
    ['multipart/form-data; boundary=b', 'nothing'],
    ['multipart/form-data; boundary=b', '--b\r\n\r\nx\r\n--b--'],
    ['text/plain', 'a=1'],
    ['application/x-www-form-urlencoded; charset=nonsense', 'a=1'],
  ])('answers 400 for what is not a form: %s %j', async (type, body) => {
    expect(await ask('form', { body, headers: [['content-type', type]] })).toMatchObject({
      status: 400,
      ok: true,
      json: { code: 'BAD_FORM' },
    });
  });

  it.each(['body', 'stream'])('carries 5 MiB in and out (%s)', async (want) => {
    const sent = Buffer.alloc(5 * 1024 * 1024, 'modelserve');
    const answer = await client.upload(sent, { headers: [['x-want', want]] });
    expect(answer.kind === 'response' && answer.body.equals(sent)).toBe(true);
  });
});
