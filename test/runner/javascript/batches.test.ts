import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type BuiltRunner, buildRunner } from './build.ts';
import { type Answer, eventually, startReplica, type TestReplica } from './replica-harness.ts';

// The first batch waits until a file exists, so that what gathers meanwhile is known.
const BACKEND = `
import { existsSync } from 'node:fs';
export class EchoBackend {
  #batches = [];
  async predictBatch(items) {
    if (items[0].block) while (!existsSync('go')) await new Promise((done) => setTimeout(done, 5));
    this.#batches.push(items.map((item) => item.n ?? null));
    if (items[0].seen) return [this.#batches];
    if (items.some((item) => item.bad)) throw new Error('bad item');
    if (items.some((item) => item.short)) return [];
    return items.map((item) => (item.own ? new RangeError('mine') : { n: item.n }));
  }
}`;

let runner: BuiltRunner;
beforeAll(async () => {
  runner = await buildRunner();
});
afterAll(() => runner?.remove());

async function start(launch: Record<string, unknown> = {}, source = BACKEND): Promise<TestReplica> {
  const replica = await startReplica({
    main: runner.main,
    files: { 'backend.mjs': source },
    launch: { max_batch_size: 4, ...launch },
  });
  onTestFinished(() => replica.stop());
  return replica;
}

const ask = (replica: TestReplica, body: unknown): Promise<Answer> =>
  replica.send({ body: JSON.stringify(body) }).answer;
const parse = (answer: Answer): unknown => JSON.parse(answer.body.toString());

/** Sends calls while the instance is at another one, which ends when all of them have come. */
async function gather(replica: TestReplica, bodies: readonly string[]): Promise<readonly Answer[]> {
  const first = ask(replica, { block: 1, n: 'first' });
  const answers = bodies.map((body) => replica.send({ body, head: { expose_errors: true } }).answer);
  const wanted = bodies.length + 1;
  await eventually('all are in', async () => {
    await replica.control.control({ op: 'dump_stacks' }, 5_000);
    return (await replica.log()).includes(`${wanted} requests`);
  });
  await writeFile(join(replica.launch.code_dir, '..', 'go'), '');
  await first;
  return Promise.all(answers);
}

describe('batches', () => {
  it('are what has gathered while the previous one ran, and answers go to their own requests', async () => {
    const replica = await start();
    const answers = await gather(
      replica,
      [1, 2, 3, 4, 5, 6].map((n) => JSON.stringify({ n })),
    );
    expect(answers.map(parse)).toEqual([1, 2, 3, 4, 5, 6].map((n) => ({ n })));
    expect(await replica.json({ seen: 1 })).toEqual([['first'], [1, 2, 3, 4], [5, 6], [null]]);
  });

  it.each([
    ['an item whose result is an error', '{"n":2,"own":1}', 500, /RangeError: mine/],
    ['an item that fails the whole call', '{"n":2,"bad":1}', 500, /bad item/],
    ['an item for which too few results come back', '{"n":2,"short":1}', 500, /0 results for 1 items/],
    ['an item that is no JSON', '{', 400, /not JSON/],
  ])('fail alone: %s', async (_name, bad, status, message) => {
    const answers = await gather(await start(), ['{"n":1}', bad, '{"n":3}']);
    expect(answers.map((answer) => answer.head?.status)).toEqual([200, status, 200]);
    expect(parse(answers[1] as Answer)).toMatchObject({ status: 0, info: expect.stringMatching(message) });
    expect(parse(answers[2] as Answer)).toEqual({ n: 3 });
  });

  it('wait for more at most so long, and no longer than they are full', async () => {
    const replica = await start({ batch_wait_timeout_s: 0.2, max_batch_size: 3 });
    await Promise.all([1, 2, 3].map((n) => ask(replica, { n })));
    await Promise.all([4, 5].map((n) => ask(replica, { n })));
    expect(await replica.json({ seen: 1 })).toEqual([[1, 2, 3], [4, 5], [null]]);
  });

  it('of one: a class that has predictBatch only', async () => {
    const replica = await start({ max_batch_size: 1 });
    expect((await Promise.all([1, 2].map((n) => ask(replica, { n })))).map(parse)).toEqual([
      { n: 1 },
      { n: 2 },
    ]);
  });

  it('are no matter to a class without predictBatch, but its log says so', async () => {
    const replica = await start({}, 'export class EchoBackend { predict(item) { return item; } }');
    expect(await replica.json({ n: 1 })).toEqual({ n: 1 });
    expect(await replica.log()).toContain('has no method predictBatch');
  });
});
