import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks again until the answer is not null, false or undefined; a question that throws counts as "not yet".
 * @throws naming `what` and the last failure when `timeoutMs` have passed
 */
export async function until<Answer>(
  what: string,
  ask: () => Promise<Answer | null | undefined | false> | Answer | null | undefined | false,
  timeoutMs = 30_000,
): Promise<Answer> {
  const end = performance.now() + timeoutMs;
  let last: unknown = 'no answer yet';
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}; last: ${String(last)}`);
    await delay(25);
  }
}
