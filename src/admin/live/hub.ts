import { randomBytes } from 'node:crypto';
import type { MetricTick } from '../../cluster/metrics/series.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { Rounds } from '../../lib/rounds.ts';
import type { ClusterEvent } from '../../store/types.ts';
import type { LiveMessage, LiveSource } from '../types.ts';
import { changesBetween, type Pictured, picture } from './status-changes.ts';

export interface LiveDependencies {
  readonly status: () => Promise<StatusDocument>;
  readonly events: (afterId: string | null, limit: number) => Promise<readonly ClusterEvent[]>;
  /** calls back at each tick, and at once with the last one where it is not old; @returns what ends that */
  readonly onTick: (listener: (tick: MetricTick) => void) => () => void;
}

const LOOK_MS = 500;
/** What a client that comes back may have missed at most: minutes. */
const KEPT_MESSAGES = 1_000;
/** So long after the last client has left it is still looked, so that one who comes back misses nothing. */
const LINGER_MS = 60_000;
const EVENTS_AT_ONCE = 200;

/**
 * What goes on in the cluster, as messages that all clients share: the cluster is looked at once for all of them, and not
 * at all while there is none.
 */
export class LiveHub implements LiveSource {
  readonly #dependencies: LiveDependencies;
  /** ids are of one life of this process */
  readonly #life = randomBytes(4).toString('hex');
  readonly #rounds = new Rounds(LOOK_MS, () => this.#round());
  readonly #messages: LiveMessage[] = [];
  /** number of the newest message */
  #newest = 0;
  #last: Pictured | null = null;
  /** the newest, for whoever comes next */
  #lastTick: MetricTick | null = null;
  #lastEventId: string | null = null;
  #clients = 0;
  #lastLeftMs = 0;
  #stopTicks: (() => void) | null = null;
  #wakers = new Set<() => void>();
  #isStopped = false;

  constructor(dependencies: LiveDependencies) {
    this.#dependencies = dependencies;
  }

  /** for whom the cluster is looked at */
  get clientCount(): number {
    return this.#clients;
  }

  /**
   * @param signal is aborted when the client has gone, in any case
   * @throws ServeError as `status` does, where nobody else looks yet
   */
  async open(afterId: string | null, signal: AbortSignal): Promise<AsyncIterable<LiveMessage>> {
    if (signal.aborted) return this.#follow(null, signal);
    this.#clients += 1;
    // Whether or not it has begun to read: a client may leave before.
    signal.addEventListener('abort', () => this.#leave(), { once: true });
    await this.#begin();
    return this.#follow(this.#placeAfter(afterId), signal);
  }

  /** Ends all streams. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    this.#stopTicks?.();
    this.#stopTicks = null;
    await this.#rounds.stop();
  }

  async *#follow(from: number | null, signal: AbortSignal): AsyncGenerator<LiveMessage> {
    let place = from;
    let goOn: () => void = () => undefined;
    // Only this client's: were all woken by each that leaves, thousands that leave would keep the head busy for minutes.
    const wake = (): void => goOn();
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted && !this.#isStopped) {
        if (place === null || place <= this.#newest - this.#messages.length) {
          place = this.#newest + 1;
          yield* this.#whole();
          continue; // it may have fallen behind again while it took that
        }
        const message = this.#messages[this.#messages.length - 1 - (this.#newest - place)];
        if (message === undefined) {
          await new Promise<void>((resolve) => {
            goOn = resolve;
            this.#wakers.add(resolve);
          });
          this.#wakers.delete(goOn);
        } else {
          place += 1;
          yield message;
        }
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  /** The number of the message that follows; null: what came since is not here any more. */
  #placeAfter(afterId: string | null): number | null {
    const [life, number] = (afterId ?? '').split('-');
    const place = Number(number) + 1;
    const isKnown = life === this.#life && Number.isInteger(place) && place <= this.#newest + 1;
    return isKnown ? place : null;
  }

  /** Status and rates, as they are now: the next tick would be seconds away. */
  #whole(): readonly LiveMessage[] {
    const id = this.#idOf(this.#newest);
    return [
      ...(this.#last === null ? [] : [{ id, event: 'status', data: this.#last.document } as const]),
      ...(this.#lastTick === null ? [] : [{ id, event: 'tick', data: this.#lastTick } as const]),
    ];
  }

  async #begin(): Promise<void> {
    if (this.#stopTicks !== null) return;
    this.#last = picture(await this.#dependencies.status());
    const events = await this.#dependencies.events(null, 1).catch(() => []);
    this.#lastEventId = events.at(-1)?.id ?? null;
    this.#stopTicks ??= this.#dependencies.onTick((data) => {
      this.#lastTick = data;
      this.#tell({ event: 'tick', data });
    });
    this.#rounds.start();
  }

  async #round(): Promise<void> {
    if (this.#clients === 0 && performance.now() - this.#lastLeftMs > LINGER_MS) {
      void this.#rest();
      return;
    }
    try {
      const now = picture(await this.#dependencies.status());
      const data = this.#last === null ? null : changesBetween(this.#last, now);
      this.#last = now;
      if (data !== null) this.#tell({ event: 'changes', data });
      for (const event of await this.#dependencies.events(this.#lastEventId, EVENTS_AT_ONCE)) {
        this.#lastEventId = event.id;
        this.#tell({ event: 'event', data: event });
      }
    } catch {
      // The store is away, or another head leads: what is known stands until it can be looked at again.
    }
  }

  /** Nobody listens: what is kept is forgotten, since nothing follows it. */
  async #rest(): Promise<void> {
    this.#stopTicks?.();
    this.#stopTicks = null;
    this.#lastTick = null;
    this.#messages.length = 0;
    this.#newest += 1;
    await this.#rounds.stop();
  }

  #tell(message: DraftMessage): void {
    this.#newest += 1;
    this.#messages.push({ id: this.#idOf(this.#newest), ...message });
    if (this.#messages.length > KEPT_MESSAGES) this.#messages.shift();
    this.#wake();
  }

  #leave(): void {
    this.#clients -= 1;
    this.#lastLeftMs = performance.now();
  }

  #wake(): void {
    const wakers = this.#wakers;
    this.#wakers = new Set();
    for (const wake of wakers) wake();
  }

  #idOf(number: number): string {
    return `${this.#life}-${number}`;
  }
}

type DraftMessage = LiveMessage extends infer Message
  ? Message extends LiveMessage
    ? Omit<Message, 'id'>
    : never
  : never;
