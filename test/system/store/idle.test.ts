import { describe, expect, test } from 'vitest';
import { createApplyQueue } from '../../../src/store/apply-queue.ts';
import { TOPICS } from '../../../src/store/keys.ts';
import { NODE_RENEW_MS } from '../../../src/store/types.ts';
import { ServerRig, until, VARIANTS } from '../../store/harness.ts';
import { nodeRecord } from '../../store/records.ts';

const WINDOW_S = 20;

describe.each(VARIANTS)('at rest on $name', ({ searchPath, missing }) => {
  test.skipIf(missing)('a node costs at most two commands a second', async () => {
    const rig = await ServerRig.start(searchPath);
    const queue = createApplyQueue<string, string>(rig.storeOptions());
    let renewing: NodeJS.Timeout | undefined;
    try {
      // A whole node: its agent and its ingress watch, the agent renews; a head takes apply jobs besides.
      const [agent, ingress] = [await rig.connect(), await rig.connect()];
      await agent.watch(TOPICS, () => {});
      await ingress.watch(['routing'], () => {});
      await agent.publishNode(nodeRecord('n1'));
      renewing = setInterval(() => void agent.renewNode('n1'), NODE_RENEW_MS);
      await queue.process(async (job) => job);
      await queue.submit('first', 10_000);

      const raw = await rig.rawClient();
      const read = async (): Promise<{ readonly commands: number; readonly seconds: number }> => {
        const [seconds] = await raw.time();
        const count = /total_commands_processed:(\d+)/.exec(await raw.info('stats'))?.[1];
        return { commands: Number(count), seconds: Number(seconds) };
      };
      const before = await read();
      let asked = 1;
      await until(
        'the window is over',
        async () => {
          asked += 1;
          return Number((await raw.time())[0]) - before.seconds >= WINDOW_S;
        },
        60_000,
      );
      const after = await read();
      const own = after.commands - before.commands - asked;
      const rate = own / (after.seconds - before.seconds);
      process.stdout.write(`${rate.toFixed(2)} commands a second\n`);
      expect(rate).toBeGreaterThan(0.4); // the renewals themselves: else nothing was measured
      expect(rate).toBeLessThanOrEqual(2);
    } finally {
      clearInterval(renewing);
      await queue.close();
      await rig.dispose();
    }
  });
});
