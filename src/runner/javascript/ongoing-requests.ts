import { StreamTable } from '../../channel/stream-table.ts';
import { Exchange, type ExchangeDependencies, type ExchangeOptions } from './exchange.ts';

/** The requests that were let in and are not over: their answer has not left yet, or they were cancelled and user code still runs. */
export class OngoingRequests {
  readonly #exchanges = new StreamTable<Exchange>();
  readonly #scheduler: ExchangeDependencies['scheduler'];
  /** at most so many at once */
  limit: number;
  #lastNumber = 0;
  #onIdle: (() => void) | null = null;

  constructor(limit: number, scheduler: ExchangeDependencies['scheduler']) {
    this.limit = limit;
    this.#scheduler = scheduler;
  }

  get size(): number {
    return this.#exchanges.size;
  }

  /** @param onOver called once */
  open(options: ExchangeOptions, onOver: () => void): Exchange {
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    const exchange = new Exchange(options, {
      scheduler: this.#scheduler,
      onOver: () => {
        this.#exchanges.delete(number);
        onOver();
        if (this.#exchanges.size === 0) this.#onIdle?.();
      },
    });
    this.#exchanges.set(number, exchange);
    return exchange;
  }

  /** Calls back when there are none: now, or when the last one is over. */
  whenIdle(onIdle: () => void): void {
    this.#onIdle = onIdle;
    if (this.#exchanges.size === 0) onIdle();
  }

  /** The replica ends, whatever they are at. */
  cutOff(): void {
    for (const exchange of this.#exchanges.values()) exchange.cutOff();
  }

  /** A line for each, for the log. */
  describe(): readonly string[] {
    const inOrder = this.#exchanges.values().sort((one, other) => one.arrivedAtMs - other.arrivedAtMs);
    return inOrder.map(({ head, arrivedAtMs, isInUserCode }) => {
      const ageMs = Math.round(performance.now() - arrivedAtMs);
      return `${head.id} ${head.method} ${head.path}, ${ageMs} ms, ${isInUserCode ? 'in user code' : 'not in user code'}`;
    });
  }
}
