import { setTimeout as delay } from 'node:timers/promises';

/** Waits for a fact; fails, naming it, when it has not come true in time. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  fact: string,
  timeoutMs = 15_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${fact}`);
    await delay(5);
  }
}
