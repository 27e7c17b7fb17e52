import { Exchange, type ExchangeOptions } from './exchange.ts';
import type { Job, Ticket } from './scheduler.ts';
import { within } from './within.ts';

/** The requests that were let in and are not over: their answer has not left yet, or they were cancelled and user code still runs. */
export class OngoingRequests {
  readonly #exchanges = new Set<Exchange>();
  readonly #submit: (job: Job) => Ticket;
  #onIdle: (() => void) | null = null;

  constructor(submit: (job: Job) => Ticket) {
    this.#submit = submit;
  }

  get size(): number {
    return this.#exchanges.size;
  }

  /** @param onOver called once */
  open(options: ExchangeOptions, onOver: () => void): Exchange {
    const exchange = new Exchange(options, {
      submit: this.#submit,
      onOver: () => {
        this.#exchanges.delete(exchange);
        onOver();
        if (this.#exchanges.size === 0) this.#onIdle?.();
      },
    });
    this.#exchanges.add(exchange);
    return exchange;
  }

  /** Waits until there are none; false when some are left after `timeoutMs`. */
  async idleWithin(timeoutMs: number): Promise<boolean> {
    if (this.#exchanges.size === 0) return true;
    const idle = new Promise<true>((resolve) => {
      this.#onIdle = () => resolve(true);
    });
    return (await within(timeoutMs, idle)) ?? false;
  }

  /** A line for each, for the log. */
  describe(): readonly string[] {
    return [...this.#exchanges].map(({ head, beganAtMs, isInUserCode }) => {
      const ageMs = Math.round(performance.now() - beganAtMs);
      return `${head.id} ${head.method} ${head.path}, ${ageMs} ms, ${isInUserCode ? 'in user code' : 'not in user code'}`;
    });
  }
}
