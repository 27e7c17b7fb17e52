/** Does something again and again, never twice at once. What it throws is its own to tell: it must not reject. */
export class Rounds {
  readonly #everyMs: number;
  readonly #round: () => Promise<void>;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;

  constructor(everyMs: number, round: () => Promise<void>) {
    this.#everyMs = everyMs;
    this.#round = round;
  }

  /** The first round is due after one interval. Idempotent. */
  start(): void {
    this.#timer ??= setInterval(() => {
      this.#running ??= this.#round().finally(() => {
        this.#running = null;
      });
    }, this.#everyMs);
  }

  /** Idempotent; waits for the round that is under way. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    await this.#running;
  }
}
