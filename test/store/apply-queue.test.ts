import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ServeError } from '../../src/lib/errors.ts';
import { createApplyQueue } from '../../src/store/apply-queue.ts';
import { storeKeys } from '../../src/store/keys.ts';
import type { ApplyQueue } from '../../src/store/types.ts';
import { ServerRig, until, VARIANTS } from './harness.ts';

interface Job {
  readonly number: number;
}

class Refused extends ServeError<{ readonly code: 'REFUSED'; readonly line: number }> {}

describe.each(VARIANTS)('the apply queue on $name', ({ searchPath, missing }) => {
  describe.skipIf(missing)('contract', () => {
    let rig: ServerRig;
    let prefixes = 0;
    const queues: ApplyQueue<Job, string>[] = [];

    beforeAll(async () => {
      rig = await ServerRig.start(searchPath);
    });
    afterEach(async () => {
      await Promise.all(queues.splice(0).map((queue) => queue.close()));
    });
    afterAll(() => rig.dispose());

    function open(prefix = `queue-${++prefixes}`): ApplyQueue<Job, string> {
      const queue = createApplyQueue<Job, string>(rig.storeOptions({ prefix }));
      queues.push(queue);
      return queue;
    }

    test('ten jobs at once are done one at a time, in order, each with its own result', async () => {
      const queue = open();
      const seen: number[] = [];
      let running = 0;
      await queue.process(async ({ number }) => {
        running += 1;
        expect(running, `job ${number}`).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        seen.push(number);
        return `done ${number}`;
      });
      const numbers = Array.from({ length: 10 }, (_, index) => index);
      const results = await Promise.all(numbers.map((number) => queue.submit({ number }, 10_000)));
      expect(results).toEqual(numbers.map((number) => `done ${number}`));
      expect(seen).toEqual(numbers);
    });

    test('what the handler throws reaches the submitter with message, code and fields', async () => {
      const queue = open();
      await queue.process(async ({ number }) => {
        if (number === 1) throw new Refused('line 7: no', { code: 'REFUSED', line: 7 });
        throw new TypeError('a bug');
      });
      await expect(queue.submit({ number: 1 }, 10_000)).rejects.toMatchObject({
        message: 'line 7: no',
        code: 'REFUSED',
        data: { line: 7 },
      });
      await expect(queue.submit({ number: 2 }, 10_000)).rejects.toMatchObject({
        message: 'a bug',
        code: 'APPLY_FAILED',
      });
    });

    test('a job that no leader takes is withdrawn at the deadline', async () => {
      const queue = open();
      await expect(queue.submit({ number: 1 }, 50)).rejects.toMatchObject({
        code: 'APPLY_TIMEOUT',
        message: expect.stringContaining('withdrawn'),
      });
      const seen: number[] = [];
      await queue.process(async ({ number }) => {
        seen.push(number);
        return '';
      });
      await queue.submit({ number: 2 }, 10_000);
      expect(seen).toEqual([2]);
    });

    test('stopping waits for the job in hand; what comes later waits for the next leader', async () => {
      const queue = open('handover');
      const next = open('handover');
      let release = (): void => {};
      let started = false;
      const stop = await queue.process(async ({ number }) => {
        started = true;
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return `first ${number}`;
      });
      const inHand = queue.submit({ number: 1 }, 10_000);
      await until('the job is in hand', () => started);
      const stopped = stop();
      const later = queue.submit({ number: 2 }, 10_000);
      release();
      expect(await inHand).toBe('first 1');
      await stopped;
      await next.process(async ({ number }) => `next ${number}`);
      expect(await later).toBe('next 2');
    });

    test('finished jobs do not pile up', async () => {
      const queue = open('piling');
      await queue.process(async () => 'ok');
      const numbers = Array.from({ length: 80 }, (_, number) => number);
      await Promise.all(numbers.map((number) => queue.submit({ number }, 10_000)));
      const raw = await rig.rawClient();
      expect(await raw.zcard(`${storeKeys('piling').jobs()}:apply:completed`)).toBe(50);
    });
  });
});
