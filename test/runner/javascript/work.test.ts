import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { countOf } from '../../../src/cluster/metrics/histogram.ts';
import { type BuiltRunner, buildRunner } from './build.ts';
import { eventually, startReplica, type TestReplica } from './replica-harness.ts';

const BACKEND = `
import { existsSync } from 'node:fs';
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export class EchoBackend {
  async call(request) {
    const { ms = 0, fail } = await request.json();
    await pause(ms);
    if (fail) throw new Error('on purpose');
    return 1;
  }
}
export class Batched {
  async predictBatch(items) {
    while (items[0].block && !existsSync('go')) await pause(5);
    return items;
  }
}`;

let runner: BuiltRunner;
beforeAll(async () => {
  runner = await buildRunner();
});
afterAll(() => runner?.remove());

async function start(launch: Record<string, unknown> = {}): Promise<TestReplica> {
  const replica = await startReplica({ main: runner.main, files: { 'backend.mjs': BACKEND }, launch });
  onTestFinished(() => replica.stop());
  return replica;
}

const callsOf = (replica: TestReplica): number => countOf({ buckets: replica.work()?.times.buckets ?? [] });

it('tells its agent how long calls were in user code, and the ingress where it asks', async () => {
  const replica = await start({ concurrency: 2 });
  const slow = await replica.send({ body: '{"ms": 50}', head: { timed: true } }).answer;
  expect(slow.head?.user_us).toBeGreaterThan(48_000);
  const failed = await replica.send({ body: '{"fail": true}', head: { timed: true } }).answer;
  expect(failed.head).toMatchObject({ status: 500, user_us: expect.any(Number) });
  const untimed = await replica.send({ body: '{}' }).answer;
  expect(untimed.head).not.toHaveProperty('user_us');
  await eventually('all three are told', () => callsOf(replica) === 3);
  expect(replica.work()?.times.sum_s).toBeGreaterThan(0.048);
  expect(replica.work()?.batches).toEqual({ sum: 0, buckets: [] });
});

it('counts batches by their size', async () => {
  const replica = await start({ backend: 'Batched', max_batch_size: 4 });
  const answers = ['{"block": 1}', ...Array<string>(5).fill('{}')].map(
    (body) => replica.send({ body }).answer,
  );
  await eventually('all are in', async () => {
    await replica.control.control({ op: 'dump_stacks' }, 5_000);
    return (await replica.log()).includes('6 requests');
  });
  await writeFile(join(replica.launch.code_dir, '..', 'go'), '');
  await Promise.all(answers);
  await eventually('all are told', () => callsOf(replica) === 6);
  expect(replica.work()?.batches).toEqual({ sum: 6, buckets: [0, 2, 2, 1] }); // 1, 4 and 1
});
