import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrameType } from '../../../src/channel/frames.ts';
import type { ChannelClient, RequestOptions } from './channel-client.ts';
import { python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

const backend = `
import asyncio

def items(kind):
    if kind == "mixed":
        yield {"n": 1}
        yield "two\\nlines"
        yield b"event: ping\\ndata: 3\\n\\n"
    elif kind == "late":
        yield {"n": 1}
        raise ValueError("on purpose")
    elif kind == "late-text":
        yield "one"
        raise ValueError("on purpose")
    elif kind == "nan":
        yield {"n": 1}
        yield {"n": float("nan")}
    elif kind == "early":
        raise ValueError("on purpose")
        yield
    elif kind == "many":
        for n in range(10000):
            yield {"n": n}

class Backend:
    def __init__(self, m):
        self.closed = []
    def __call__(self, request):
        p = request.json()
        return self.closed if p["kind"] == "closed" else self.endless() if p["kind"] == "endless" else items(p["kind"])
    def endless(self):
        try:
            while True:
                yield {"filler": "x" * 1000}
        finally:
            self.closed.append("closed")

class AsyncBackend(Backend):
    async def __call__(self, request):
        p = await request.json()
        if p["kind"] == "closed":
            return self.closed
        return self.endless() if p["kind"] == "endless" else self.each(p["kind"])
    async def each(self, kind):
        for item in items(kind):
            yield item
    async def endless(self):
        try:
            while True:
                yield {"filler": "x" * 1000}
        finally:
            await asyncio.sleep(0)
            self.closed.append("closed")
`;
const events: RequestOptions = { headers: [['Accept', 'text/event-stream, */*']] };

describe.skipIf(python === null).each(['Backend', 'AsyncBackend'])('streams of %s', (name) => {
  let replica: TestReplica;
  let client: ChannelClient;

  beforeAll(async () => {
    const launch = { backend: name, concurrency: 2 };
    replica = new TestReplica({ python: python?.path ?? '', backend, launch }).start();
    client = await (await replica.connect()).ready();
  });
  afterAll(() => replica.dispose());

  const ask = (kind: string, options: RequestOptions = {}) => {
    const { stream, outcome } = client.request({ body: JSON.stringify({ kind }), id: kind, ...options });
    const received = () =>
      Buffer.concat(
        client.frames
          .filter((frame) => frame.stream === stream && frame.type === FrameType.data)
          .map((frame) => frame.payload),
      ).toString();
    return { stream, outcome, received };
  };

  it('are server-sent events where the client asks for them', async () => {
    const answer = await ask('mixed', events).outcome;
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' },
    });
    expect(answer.kind === 'response' && answer.body.toString()).toBe(
      'data: {"n":1}\n\ndata: two\ndata: lines\n\nevent: ping\ndata: 3\n\n',
    );
  });

  it('are lines where it does not', async () => {
    const answer = await ask('mixed').outcome;
    expect(answer).toMatchObject({ headers: { 'content-type': 'application/x-ndjson' } });
    expect(answer.kind === 'response' && answer.body.toString()).toBe(
      '{"n":1}\ntwo\nlinesevent: ping\ndata: 3\n\n',
    );
  });

  it.each<[string, string, RequestOptions, RegExp]>([
    ['an error event', 'late', events, /^data: \{"n":1\}\n\nevent: error\ndata: (\{.*\})\n\n$/],
    [
      'an error event for what is no JSON',
      'nan',
      events,
      /^data: \{"n":1\}\n\nevent: error\ndata: (\{.*\})\n\n$/,
    ],
    ['an error line', 'late', {}, /^\{"n":1\}\n(\{.*\})\n$/],
    ['no more than was sent', 'late-text', {}, /^one$/],
  ])('end with %s, and without an end, when the generator raises', async (_, kind, options, expected) => {
    const { outcome, received } = ask(kind, options);
    expect(await outcome).toMatchObject({ kind: 'failed', code: 'BACKEND_ERROR' });
    const error = expected.exec(received())?.[1];
    expect(received()).toMatch(expected);
    if (error !== undefined)
      expect(JSON.parse(error)).toMatchObject({ status: 0, code: 'BACKEND_ERROR', request_id: kind });
  });

  it.each([events, {}])('are a 500 when the generator raises before its first item', async (options) => {
    const answer = await ask('early', options).outcome;
    expect(answer).toMatchObject({ status: 500, headers: { 'content-type': 'application/json' } });
  });

  it('of many small items are whole and in order', async () => {
    const answer = await ask('many').outcome;
    const lines = answer.kind === 'response' ? answer.body.toString().trimEnd().split('\n') : [];
    expect(lines).toEqual(Array.from({ length: 10_000 }, (_, n) => `{"n":${n}}`));
  });

  it('are closed when their client leaves, and made no faster than it reads', async () => {
    const { stream } = ask('endless', { grant: false });
    await until(() => client.dataBytes(stream) === 1024 * 1024, 'a full window');
    client.send(FrameType.cancel, 0, stream);
    await expect
      .poll(async () => (await client.call({ kind: 'closed' })).json, { timeout: 10_000 })
      .toEqual(['closed']);
  });
});
