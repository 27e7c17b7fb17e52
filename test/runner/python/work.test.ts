import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FrameType } from '../../../src/channel/frames.ts';
import type { ResponseHead, WorkReport } from '../../../src/channel/messages.ts';
import { bucketOf, countOf } from '../../../src/cluster/metrics/histogram.ts';
import type { ChannelClient } from './channel-client.ts';
import { interpreters, python } from './interpreters.ts';
import { TestReplica } from './replica.ts';
import { until } from './until.ts';

const sync = `
import os, time
class Backend:
    def __init__(self, model_path):
        pass
    def predict(self, p):
        time.sleep(p.get("sleep", 0))
        if p.get("fail"):
            raise ValueError()
        return 1
`;
const asynchronous = sync
  .replace('import os, time', 'import asyncio, os')
  .replace('    def predict', '    async def predict')
  .replace('time.sleep', 'await asyncio.sleep');
const streaming = `
import time
class Backend:
    def __init__(self, model_path):
        pass
    def predict(self, p):
        for n in range(3):
            time.sleep(0.02)
            yield "x" * p["size"]
`;
const batched = `
import os, time
class Backend:
    def __init__(self, model_path):
        pass
    def predict_batch(self, items):
        while items[0].get("block") and not os.path.exists("go"):
            time.sleep(0.005)
        return items
`;

/** Of the last answer. */
function headOf({ frames }: ChannelClient): ResponseHead {
  const frame = frames.filter(({ type }) => type === FrameType.response).at(-1);
  return JSON.parse(frame?.payload.toString() ?? '{}') as ResponseHead;
}

async function serve(backend: string, launch: Record<string, unknown> = {}, path = python?.path ?? '') {
  const replica = new TestReplica({ python: path, backend, launch });
  onTestFinished(() => replica.dispose());
  const agent = await replica.start().connect('agent');
  const client = await (await replica.connect()).ready();
  return { replica, agent, client };
}

const workOf = ({ notifications }: ChannelClient): WorkReport | undefined =>
  notifications.filter((one) => one.event === 'work').at(-1);
const callsIn = (work: WorkReport | undefined): number => (work === undefined ? 0 : countOf(work.times));

describe.skipIf(python === null).each([
  ['synchronous', sync],
  ['asynchronous', asynchronous],
])('the time of calls in user code of a %s class', (_, backend) => {
  it('is told to agents, and with the answer where that is asked for', async () => {
    const { replica, agent, client } = await serve(backend);
    await client.call({ sleep: 0.05 }, { timed: true });
    expect(headOf(client).user_us).toBeGreaterThanOrEqual(49_000);
    await client.call({ fail: 1 }, { timed: true });
    expect(headOf(client)).toMatchObject({ status: 500, user_us: expect.any(Number) });
    await client.call({});
    expect(headOf(client)).not.toHaveProperty('user_us');
    await until(() => callsIn(workOf(agent)) === 3, 'all three are told');
    const { times, batches } = workOf(agent) ?? { times: { sum_s: 0, buckets: [] }, batches: null };
    expect(batches).toEqual({ sum: 0, buckets: [] });
    expect(times.sum_s).toBeGreaterThan(0.049);
    const slowest = times.buckets.filter((__, place) => place % 2 === 0).at(-1);
    expect(slowest).toBeGreaterThanOrEqual(bucketOf(49));
    expect(workOf(client)).toBeUndefined();
    const next = await (await replica.connect('agent')).ready();
    await until(() => callsIn(workOf(next)) === 3, 'an agent that comes later hears of them');
  });
});

describe.skipIf(python === null)('the time in user code', () => {
  it('of a stream is without the time in which its reader holds it up', async () => {
    const { agent, client } = await serve(streaming);
    client.pause();
    const answer = client.call({ size: 3_000_000 });
    await new Promise((resolve) => setTimeout(resolve, 400));
    client.resume();
    await until(() => client.frames.length > 0, 'the answer begins');
    client.grant(1, 20_000_000);
    await answer;
    await until(() => callsIn(workOf(agent)) === 1, 'it is told');
    expect(workOf(agent)?.times.sum_s).toBeGreaterThan(0.058);
    expect(workOf(agent)?.times.sum_s).toBeLessThan(0.35);
  });
});

describe.each([interpreters[0], interpreters.at(-1)].filter((one) => one !== undefined))(
  'batches under CPython $version',
  ({ path }) => {
    it('are counted by their size, and the last are told before the end', async () => {
      const { replica, agent, client } = await serve(batched, { max_batch_size: 4 }, path);
      const first = client.call({ block: 1 });
      await until(
        () => client.notifications.some((one) => one.event === 'beat' && one.ongoing === 1),
        'the first is in user code',
      );
      const others = [1, 2, 3, 4, 5].map(async (n) => await client.call({ n }));
      await until(
        () => client.notifications.some((one) => one.event === 'beat' && one.ongoing === 6),
        'the others wait',
      );
      writeFileSync(join(replica.folder, 'go'), '');
      await Promise.all([first, ...others]);
      await agent.control({ op: 'drain', grace_ms: 5_000 });
      await replica.exited();
      expect(workOf(agent)?.batches).toEqual({ sum: 6, buckets: [0, 2, 2, 1] }); // 1, 4 and 1
      expect(callsIn(workOf(agent))).toBe(6);
    });
  },
);
