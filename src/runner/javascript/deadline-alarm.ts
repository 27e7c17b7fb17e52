import { LONGEST_TIMER_MS } from '../within.ts';

/**
 * One timer for many deadlines. A timer for each call was the dearest part of letting one wait: no two have the same duration, and Node keeps
 * a list for every duration that there is.
 */
export class DeadlineAlarm {
  readonly #onDue: () => void;
  #timer: NodeJS.Timeout | null = null;
  #atMs = Number.POSITIVE_INFINITY;

  /** @param onDue a deadline may have passed: looks, and sets the alarm for those that have not */
  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** @param atMs on the clock of performance.now() */
  setFor(atMs: number): void {
    if (atMs >= this.#atMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#atMs = atMs;
    const delayMs = Math.max(0, Math.ceil(atMs - performance.now()));
    this.#timer = setTimeout(() => this.#ring(), Math.min(delayMs, LONGEST_TIMER_MS));
  }

  #ring(): void {
    this.#timer = null;
    this.#atMs = Number.POSITIVE_INFINITY;
    this.#onDue();
  }
}
