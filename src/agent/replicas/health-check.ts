import type { Control } from './settings.ts';

/** So many answers in a row that it is of no use; one may be a passing trouble. */
const UNHEALTHY_ANSWERS = 3;
/** A synchronous class answers between its calls, so this is no judgement of how long it takes. */
const ANSWER_TIMEOUT_MS = 60_000;

export interface HealthCheckOptions {
  readonly everyMs: number;
  readonly control: Control;
  /** once, with what health() raised or that it returned False */
  readonly onUnhealthy: (error: string) => void;
}

/**
 * Asks the class' own `health()` from time to time. Only its word counts: a replica that does not answer is busy or
 * hangs, which is judged by its heartbeat; a class without the method is always well.
 */
export class HealthCheck {
  readonly #options: HealthCheckOptions;
  #timer: NodeJS.Timeout | null = null;
  #isAsking = false;
  #unhealthyAnswers = 0;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer ??= setInterval(() => void this.#ask(), this.#options.everyMs);
  }

  /** Idempotent. */
  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const answer = await this.#options.control({ op: 'health' }, ANSWER_TIMEOUT_MS).catch(() => null);
    this.#isAsking = false;
    if (answer === null || this.#timer === null) return;
    this.#unhealthyAnswers = answer.ok ? 0 : this.#unhealthyAnswers + 1;
    if (this.#unhealthyAnswers < UNHEALTHY_ANSWERS) return;
    this.stop();
    this.#options.onUnhealthy(answer.error ?? 'health() says no');
  }
}
