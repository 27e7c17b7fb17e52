import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FrameType } from '../../../src/channel/frames.ts';
import { interpreters, python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

// The first batch blocks until a file exists, so that what gathers meanwhile is known.

const sync = `
import os, time
class Backend:
    def __init__(self, m):
        self.batches = []
    def predict_batch(self, items):
        if items[0].get("block"):
            while not os.path.exists("go"):
                time.sleep(0.005)
        self.batches.append([each.get("n") for each in items])
        if items[0].get("seen"):
            return [self.batches]
        if len(items) > 1 and any(each.get("whole") for each in items):
            raise RuntimeError("one of them is bad")
        if any(each.get("bad") for each in items):
            raise ValueError("bad item")
        if any(each.get("short") for each in items):
            return []
        if any(each.get("number") for each in items):
            return 5
        return [KeyError("mine") if each.get("own") else {"n": each.get("n")} for each in items]
`;
const asynchronous = sync
  .replace('    def predict_batch', '    async def predict_batch')
  .replace('time.sleep(0.005)', 'await asyncio.sleep(0.005)')
  .replace('import os, time', 'import asyncio, os');
const kinds: [string, string][] = [
  ['synchronous', sync],
  ['asynchronous', asynchronous],
];

async function serve(backend: string, launch: Record<string, unknown> = {}, path = python?.path ?? '') {
  const replica = new TestReplica({ python: path, backend, launch: { max_batch_size: 4, ...launch } });
  onTestFinished(() => replica.dispose());
  const client = await (await replica.start().connect()).ready();
  const busy = async () => {
    const blocked = client.call({ block: 1, n: 'first' });
    await until(() => ongoing() === 1, 'one ongoing');
    return blocked;
  };
  const ongoing = () =>
    client.notifications.flatMap((each) => (each.event === 'beat' ? [each.ongoing] : [])).at(-1);
  const batches = async () => (await client.call({ seen: 1 })).json as (string | number)[][];
  return { client, replica, ongoing, busy, batches, go: () => writeFileSync(join(replica.folder, 'go'), '') };
}

describe.skipIf(python === null).each(kinds)('batches of a %s class', (_, backend) => {
  it('are what has gathered while the previous one ran, and answers go to their own requests', async () => {
    const { client, busy, go, batches, ongoing } = await serve(backend);
    const first = busy();
    await until(() => ongoing() === 1, 'one ongoing');
    const others = [1, 2, 3, 4, 5, 6].map((n) => client.call({ n }));
    await until(() => ongoing() === 7, 'seven ongoing');
    go();
    expect((await first).kind).toBe('response');
    expect((await Promise.all(others)).map((each) => each.json)).toEqual(
      [1, 2, 3, 4, 5, 6].map((n) => ({ n })),
    );
    expect((await batches()).slice(0, 3)).toEqual([['first'], [1, 2, 3, 4], [5, 6]]);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ['an item whose result is an exception', { own: 1 }, /KeyError: 'mine'/],
    ['an item that fails the whole call', { bad: 1 }, /ValueError: bad item/],
    ['an item for which too few results come back', { short: 1 }, /0 results for 1 items/],
    ['an item for which no list comes back', { number: 1 }, /returned int, expected a list/],
  ])('fail alone: %s', async (_name, bad, message) => {
    const { client, busy, go, ongoing } = await serve(backend);
    const first = busy();
    await until(() => ongoing() === 1, 'one ongoing');
    const others = [{ n: 1 }, { n: 2, ...bad }, { n: 3 }].map((each) => client.call(each));
    const noJson = client.request({ body: '{' });
    await until(() => ongoing() === 5, 'five ongoing');
    go();
    await first;
    const answers = await Promise.all(others);
    expect(answers.map((each) => each.kind === 'response' && each.status)).toEqual([200, 500, 200]);
    expect(answers[1]?.json).toMatchObject({ info: expect.stringMatching(message) });
    expect(answers[2]?.json).toEqual({ n: 3 });
    expect(await noJson.outcome).toMatchObject({ status: 400 });
  });

  it('leave out who was cancelled or has expired', async () => {
    const { client, busy, go, ongoing, batches } = await serve(backend);
    const first = busy();
    await until(() => ongoing() === 1, 'one ongoing');
    const cancelled = client.request({ body: '{"n": "cancelled"}' });
    const expired = client.call({ n: 'expired' }, { timeout_ms: 1 });
    const last = client.call({ n: 'last' });
    client.send(FrameType.cancel, 0, cancelled.stream);
    expect(await expired).toMatchObject({ kind: 'failed', code: 'DEADLINE' });
    go();
    await Promise.all([first, last]);
    expect((await batches()).slice(0, 2)).toEqual([['first'], ['last']]);
  });

  it('wait for more at most so long, and no longer than they are full', async () => {
    const { client, batches } = await serve(backend, { batch_wait_timeout_s: 0.2, max_batch_size: 3 });
    const full = [1, 2, 3].map((n) => client.call({ n }));
    await Promise.all(full);
    await Promise.all([4, 5].map((n) => client.call({ n })));
    expect(await batches()).toEqual(
      [[1, 2, 3], [4, 5], [undefined]].map((each) => each.map((n) => n ?? null)),
    );
  });
});

describe.skipIf(python === null)('batches', () => {
  it('of one: a class that has predict_batch only', async () => {
    const { client, batches } = await serve(sync, { max_batch_size: 1 });
    expect((await Promise.all([1, 2].map((n) => client.call({ n })))).map((each) => each.json)).toEqual([
      { n: 1 },
      { n: 2 },
    ]);
    expect((await batches()).slice(0, 2)).toEqual([[1], [2]]);
  });

  it('are no matter to a class without predict_batch, but its log says so', async () => {
    const { client, replica } = await serve(
      'class Backend:\n    def __init__(self, m): pass\n    def predict(self, p): return p\n',
    );
    expect((await client.call({ n: 1 })).json).toEqual({ n: 1 });
    expect(replica.output()).toContain('has no method predict_batch');
  });

  it.each(interpreters)('come back to whom they belong on CPython $version', async ({ path }) => {
    for (const [, backend] of kinds) {
      const { client } = await serve(backend, { max_ongoing: 32, concurrency: 2 }, path);
      const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => client.call({ n })));
      expect(answers.map((each) => each.json)).toEqual(Array.from({ length: 30 }, (_, n) => ({ n })));
    }
  });
});
