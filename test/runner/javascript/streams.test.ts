import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltRunner, buildRunner } from './build.ts';
import { type Answer, eventually, startReplica, type TestReplica } from './replica-harness.ts';

const BACKEND = `
function* items(kind) {
  if (kind === 'mixed') { yield { n: 1 }; yield 'two\\nlines'; yield Buffer.from('event: ping\\ndata: 3\\n\\n'); }
  if (kind === 'late') { yield { n: 1 }; throw new Error('on purpose'); }
  if (kind === 'nan') { yield { n: 1 }; yield { n: NaN }; }
  if (kind === 'late-text') { yield 'one'; throw new Error('on purpose'); }
  if (kind === 'early') throw new Error('on purpose');
  if (kind === 'many') for (let n = 0; n < 10_000; n += 1) yield { n };
}
async function* endless() {
  for (;;) { console.log('made one'); yield new Uint8Array(65536); await new Promise(setImmediate); }
}
async function* later(kind) {
  for (const item of items(kind)) { if (kind !== 'many') await new Promise(setImmediate); yield item; }
}
export class EchoBackend {
  async call(request) {
    const kind = request.path.slice(1);
    if (kind === 'endless') return endless();
    return request.queryParams.get('async') ? later(kind) : items(kind);
  }
}`;

let runner: BuiltRunner;
let replica: TestReplica;

beforeAll(async () => {
  runner = await buildRunner();
  replica = await startReplica({ main: runner.main, files: { 'backend.mjs': BACKEND } });
});
afterAll(async () => {
  await replica?.stop();
  await runner?.remove();
});

describe.each(['', 'async=1'])('streams of a generator (%s)', (query) => {
  const ask = (kind: string, accept: string): Promise<Answer> =>
    replica.send({ head: { path: `/${kind}`, query, id: kind, headers: [['Accept', accept]] } }).answer;

  it('are server-sent events where the client asks for them', async () => {
    const answer = await ask('mixed', 'text/event-stream, */*');
    expect(answer.head?.headers).toContainEqual(['content-type', 'text/event-stream']);
    expect(answer.body.toString()).toBe(
      'data: {"n":1}\n\ndata: two\ndata: lines\n\nevent: ping\ndata: 3\n\n',
    );
  });

  it('are lines where it does not', async () => {
    const answer = await ask('mixed', '*/*');
    expect(answer.head?.headers).toContainEqual(['content-type', 'application/x-ndjson']);
    expect(answer.body.toString()).toBe('{"n":1}\ntwo\nlinesevent: ping\ndata: 3\n\n');
  });

  it.each([
    ['an error event', 'late', 'text/event-stream', /^data: \{"n":1\}\n\nevent: error\ndata: (\{.*\})\n\n$/],
    ['an error event for what is no JSON', 'nan', 'text/event-stream', /\nevent: error\ndata: (\{.*\})\n\n$/],
    ['an error line', 'late', '*/*', /^\{"n":1\}\n(\{.*\})\n$/],
    ['no more than was sent', 'late-text', '*/*', /^one$/],
  ])('end with %s, and without an end, when the generator throws', async (_, kind, accept, expected) => {
    const answer = await ask(kind, accept);
    expect(answer.kind).toBe('failed');
    expect(answer.body.toString()).toMatch(expected);
    const error = expected.exec(answer.body.toString())?.[1];
    if (error !== undefined)
      expect(JSON.parse(error)).toMatchObject({ status: 0, code: 'BACKEND_ERROR', request_id: kind });
  });

  it('are a 500 when the generator throws before its first item', async () => {
    const answer = await ask('early', 'text/event-stream');
    expect(answer.head).toMatchObject({ status: 500, ok: false });
  });

  it('of many small items are whole and in order', async () => {
    const answer = await ask('many', '*/*');
    expect(answer.body.toString().trimEnd().split('\n')).toEqual(
      Array.from({ length: 10_000 }, (_, n) => `{"n":${n}}`),
    );
  });
});

it('a stream is made no further ahead of its reader than docs/backends.md says', async () => {
  let received = 0;
  const request = replica.send({
    head: { path: '/endless' },
    onData: (chunk) => {
      received += chunk.length;
      return 0;
    },
  });
  const windowBytes = 1024 * 1024;
  await eventually('the window is used up', () => received === windowBytes);
  // The thread has had its turn, and more than one, when it has answered.
  for (let turn = 0; turn < 20; turn += 1) await replica.control.control({ op: 'health' }, 30_000);
  const made = (await replica.log()).split('made one').length - 1;
  expect(made * 65_536).toBeGreaterThan(windowBytes);
  expect(made * 65_536).toBeLessThanOrEqual(1.3 * 1024 * 1024 + 65_536);
  request.stream.cancel();
  expect((await replica.send({ head: { path: '/many' } }).answer).kind).toBe('answered');
});
