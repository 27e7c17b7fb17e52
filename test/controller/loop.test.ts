import { expect, it } from 'vitest';
import { Loop } from '../../src/controller/loop.ts';

const NEVER_MS = 1_000_000;

/** A loop whose every call waits for the test. */
function steppedLoop(pauseMs = NEVER_MS) {
  const calls: (() => void)[] = [];
  let running = 0;
  let most = 0;
  const loop = new Loop(async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => calls.push(resolve));
    running -= 1;
    return pauseMs;
  });
  return { loop, calls, most: () => most };
}

it('calls again when it is woken, once for any number of times', async () => {
  const { loop, calls, most } = steppedLoop();
  loop.start();
  await expect.poll(() => calls.length).toBe(1);
  for (let times = 0; times < 5; times += 1) loop.wake(); // during a call
  calls[0]?.();
  await expect.poll(() => calls.length).toBe(2);
  calls[1]?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(calls).toHaveLength(2);
  loop.wake(); // in the pause
  await expect.poll(() => calls.length).toBe(3);
  const stopped = loop.stop();
  calls[2]?.();
  await stopped;
  expect(most()).toBe(1);
});

it('calls again by itself when the time has come that was asked for', async () => {
  const { loop, calls } = steppedLoop(1);
  loop.start();
  for (let index = 0; index < 3; index += 1) {
    await expect.poll(() => calls.length).toBe(index + 1);
    calls[index]?.();
  }
  await expect.poll(() => calls.length).toBe(4);
  const stopped = loop.stop();
  calls[3]?.();
  await stopped;
});

it('stops out of a pause, and again, and where it was never started', async () => {
  const { loop, calls } = steppedLoop();
  loop.start();
  await expect.poll(() => calls.length).toBe(1);
  calls[0]?.();
  await loop.stop();
  await loop.stop();
  await new Loop(async () => 0).stop();
  expect(calls).toHaveLength(1);
});
