import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { ChannelClient } from './channel-client.ts';
import { interpreters, python, pythonMinor } from './interpreters.ts';
import { TestReplica } from './replica.ts';

const backend = readFileSync(new URL('./fixtures/answers.py', import.meta.url), 'utf8');

describe.skipIf(python === null).each(['Backend', 'AsyncBackend'])('answers of %s', (name) => {
  let replica: TestReplica;
  let client: ChannelClient;

  beforeAll(async () => {
    replica = new TestReplica({ python: python?.path ?? '', backend, launch: { backend: name } }).start();
    client = await (await replica.connect()).ready();
  });
  afterAll(() => replica.dispose());

  const asJson: Record<string, unknown> = {
    json: { a: [1, 2.5, null, true, 'ü中'] },
    list: [1],
    none: null,
    'status-false': { status: false },
    numpy: {
      scalar: 1.5,
      array: [
        [1, 2],
        [3, 4],
      ],
      flag: true,
    },
    'numpy-alone': [1, 2],
    datetime: ['2024-02-29T12:30:00', '2024-02-29', '01:02:00'],
    others: [1.5, 7, '00000000-0000-0000-0000-000000000001', 'red', '/a', [1, 2], [3], [1, 2], [1], 90],
    keys: { 1: 'int', 2.5: 'float', red: 'enum', 7: 'scalar' },
    surrogate: { half: '\ud83d' },
    dataclass: { boxes: [{ label: 'a', inner: ['red'] }] },
  };
  const kinds = Object.keys(asJson).filter((kind) => kind !== 'dataclass' || pythonMinor >= 7);
  it.each(kinds)('%s is JSON', async (kind) => {
    const answer = await client.call({ kind });
    expect(answer).toMatchObject({ status: 200, ok: true, headers: { 'content-type': 'application/json' } });
    expect(answer.json).toEqual(asJson[kind]);
  });

  it.each([
    ['text', 'text/plain; charset=utf-8', 'grüße'],
    ['bytearray', 'application/octet-stream', 'ab'],
    ['memoryview', 'application/octet-stream', 'cd'],
    ['stream-json', 'application/x-ndjson', '{"n":1}\n{"n":2}\n'],
    ['stream-text', 'text/plain; charset=utf-8', 'aü'],
    ['stream-bytes', 'application/octet-stream', '\0'],
  ])('%s is %s', async (kind, contentType, body) => {
    const answer = await client.request({ body: JSON.stringify({ kind }) }).outcome;
    expect(answer).toMatchObject({ status: 200, ok: true, headers: { 'content-type': contentType } });
    expect(answer.kind === 'response' && answer.body.toString()).toBe(body);
  });

  it('an empty stream is an empty answer', async () => {
    const answer = await client.call({ kind: 'stream-empty' });
    expect(answer).toMatchObject({ status: 200, ok: true, body: Buffer.alloc(0) });
  });

  it('a result with status 0 is an answer that says that the backend failed', async () => {
    expect(await client.call({ kind: 'status-0' })).toMatchObject({
      status: 200,
      ok: false,
      json: { info: 'no' },
    });
  });

  it.each([
    ...['failed-mapping', 'failed-bytes', 'failed-response'].map((kind) => [kind, false] as const),
    ...['inside', 'unfinished', 'text', 'refusal', 'false', 'list', 'long', 'deep'].map(
      (kind) => [`failed-${kind}`, true] as const,
    ),
  ])('%s, made by the backend, counts as ok: %s', async (kind, ok) => {
    expect(await client.request({ body: JSON.stringify({ kind }) }).outcome).toMatchObject({ ok });
  });

  it.each([
    ['nan', 'result.scores[3] is nan'],
    ['infinity', "result['a b'] is -inf"],
    ['numpy-nan', 'result.scores[1] is nan'],
    ['unknown', 'result.model is an object'],
    ['bytes-inside', 'result.raw is a bytes'],
    ['bad-key', 'result.outer has a key (1, 2)'],
    ['response-headers', 'more than 8192 characters of headers'],
    ['cycle', 'result[0].again contains itself'],
  ])('%s cannot be encoded: %s', async (kind, expected) => {
    const answer = await client.call({ kind }, { id: 'k-1', expose_errors: false });
    expect(answer).toMatchObject({
      status: 500,
      ok: false,
      json: { status: 0, code: 'BACKEND_ERROR', request_id: 'k-1' },
    });
    expect((answer.json as { info: string }).info).toContain(expected);
  });

  it('an exception is 500, with the traceback only where it may be shown', async () => {
    const shown = await client.call({ kind: 'raise' }, { expose_errors: true });
    expect(shown).toMatchObject({ status: 500, ok: false, json: { status: 0, code: 'BACKEND_ERROR' } });
    expect((shown.json as { info: string }).info).toMatch(
      /^Traceback .*backend\.py.*ValueError: on purpose\n$/s,
    );
    expect((shown.json as { info: string }).info).not.toContain('modelserve_runner');
    const hidden = await client.call({ kind: 'raise' }, { expose_errors: false, id: 'secret-1' });
    expect(JSON.stringify(hidden.json)).not.toMatch(/on purpose|backend\.py/);
    expect(replica.output()).toMatch(/request secret-1 failed:\n {2}Traceback/);
  });

  it('sys.exit() in a call is a failed call', async () => {
    expect(await client.call({ kind: 'exit' })).toMatchObject({ status: 500 });
    expect(await client.call({ kind: 'none' })).toMatchObject({ status: 200 });
  });

  it('a response object is taken as it is', async () => {
    const answer = await client.call({ kind: 'response' });
    expect(answer).toMatchObject({
      status: 418,
      ok: true,
      headers: { 'x-tea': 'yes', 'content-type': 'text/html' },
    });
    expect(answer.kind === 'response' && answer.body.toString()).toBe('<p>');
    const empty = await client.call({ kind: 'response-204' });
    expect(empty).toMatchObject({ status: 204, ok: true, headers: {}, body: Buffer.alloc(0) });
    expect(empty).not.toHaveProperty('headers.content-length');
    expect(await client.call({ kind: 'response-500' })).toMatchObject({ status: 503, ok: false });
  });

  it('a generator that raises before its first item is a 500, later a broken answer', async () => {
    expect(await client.call({ kind: 'stream-early' })).toMatchObject({ status: 500, ok: false });
    expect(await client.call({ kind: 'stream-late' })).toMatchObject({
      kind: 'failed',
      code: 'BACKEND_ERROR',
    });
  });

  if (name === 'Backend') return; // an asynchronous generator needs an event loop
  it('an asynchronous generator is a stream', async () => {
    const answer = await client.call({ kind: 'async-stream' });
    expect(answer.kind === 'response' && answer.body.toString()).toBe('{"n":0}\n{"n":1}\n{"n":2}\n');
  });
});

const withNumpy = interpreters.find((each) => spawnSync(each.path, ['-c', 'import numpy']).status === 0);

it.skipIf(withNumpy === undefined)(
  'numpy itself is JSON (skipped where no interpreter has numpy)',
  async () => {
    const source = `
import numpy as np
class Backend:
    def __init__(self, model_path): pass
    def predict(self, p):
        return {"f32": np.float32(1.5), "f64": np.float64(2.5), "i": np.int64(3), "b": np.bool_(True), "a": np.eye(2),
                "when": np.datetime64("2024-02-29"), "nested": [{"x": np.array([1, 2], dtype=np.uint8)}],
                np.int64(5): "key", "status": np.int64(0)}
`;
    const replica = new TestReplica({ python: withNumpy?.path ?? '', backend: source });
    onTestFinished(() => replica.dispose());
    const client = await (await replica.start().connect()).ready();
    expect(await client.call({})).toMatchObject({
      ok: false,
      json: {
        f32: 1.5,
        f64: 2.5,
        i: 3,
        b: true,
        a: [
          [1, 0],
          [0, 1],
        ],
        when: '2024-02-29',
        nested: [{ x: [1, 2] }],
        5: 'key',
        status: 0,
      },
    });
  },
);
