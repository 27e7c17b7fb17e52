import { setTimeout as delay } from 'node:timers/promises';

/** Calls `look` again and again: when it asked to be, and as soon as somebody wakes it. One call at a time. */
export class Loop {
  readonly #look: () => Promise<number>;
  readonly #stopping = new AbortController();
  #wake: () => void = () => undefined;
  #isWoken = false;
  #running: Promise<void> = Promise.resolve();

  /** @param look does not throw; returns the longest time in ms until it is to be called again */
  constructor(look: () => Promise<number>) {
    this.#look = look;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Waits for the call in hand. Idempotent; the loop does not start again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#running;
  }

  wake(): void {
    this.#isWoken = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#isWoken = false;
      const pauseMs = await this.#look();
      await this.#pause(Math.max(0, pauseMs));
    }
  }

  async #pause(pauseMs: number): Promise<void> {
    if (this.#isWoken) return;
    const timer = new AbortController();
    this.#wake = () => timer.abort();
    await delay(pauseMs, undefined, { signal: timer.signal }).catch(() => undefined);
    this.#wake = () => undefined;
  }
}
