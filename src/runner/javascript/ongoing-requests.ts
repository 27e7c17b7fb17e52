import { Exchange, type ExchangeOptions } from './exchange.ts';
import type { Job, Ticket } from './scheduler.ts';

/** The requests that were let in and are not over: their answer has not left yet, or they were cancelled and user code still runs. */
export class OngoingRequests {
  readonly #exchanges = new Set<Exchange>();
  readonly #submit: (job: Job) => Ticket;
  /** at most so many at once */
  limit: number;
  #onIdle: (() => void) | null = null;

  constructor(limit: number, submit: (job: Job) => Ticket) {
    this.limit = limit;
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

  /** Calls back when there are none: now, or when the last one is over. */
  whenIdle(onIdle: () => void): void {
    this.#onIdle = onIdle;
    if (this.#exchanges.size === 0) onIdle();
  }

  /** The replica ends, whatever they are at. */
  cutOff(): void {
    for (const exchange of [...this.#exchanges]) exchange.cutOff();
  }

  /** A line for each, for the log. */
  describe(): readonly string[] {
    return [...this.#exchanges].map(({ head, arrivedAtMs, isInUserCode }) => {
      const ageMs = Math.round(performance.now() - arrivedAtMs);
      return `${head.id} ${head.method} ${head.path}, ${ageMs} ms, ${isInUserCode ? 'in user code' : 'not in user code'}`;
    });
  }
}
