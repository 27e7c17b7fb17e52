import { LEADER_RENEW_MS, type LeaderStore, type Leadership } from '../store/types.ts';

export interface LeaseOptions {
  /** the node id of this head */
  readonly candidateId: string;
  readonly clock: () => number;
}

/** The leader lease as this head holds it, and since when it has seen the store without interruption. */
export class Lease {
  readonly #options: LeaseOptions;
  readonly #store: LeaderStore;
  #held: Leadership | null = null;
  #renewAtMs = 0;
  #storeSeenSinceMs = 0;

  constructor(options: LeaseOptions, store: LeaderStore) {
    this.#options = options;
    this.#store = store;
  }

  get held(): Leadership | null {
    return this.#held;
  }

  /** when the lease was won, or the store last failed to answer */
  get storeSeenSinceMs(): number {
    return this.#storeSeenSinceMs;
  }

  /** how long until the lease is to be renewed, or campaigned for, ms */
  get dueInMs(): number {
    return this.#renewAtMs - this.#options.clock();
  }

  /**
   * Renews the lease when that is due, or campaigns for it.
   * @returns a leadership that was won now, which counts once it is taken; else null
   */
  async hold(known: Parameters<LeaderStore['campaign']>[1]): Promise<Leadership | null> {
    if (this.dueInMs > 0) return null;
    const isHeld = await this.isProven();
    const won = isHeld ? null : await this.#store.campaign(this.#options.candidateId, known);
    this.#renewAtMs = this.#options.clock() + LEADER_RENEW_MS;
    return won;
  }

  /** Begins a leadership that was won, when all is ready for it. */
  take(leadership: Leadership): void {
    this.#held = leadership;
    this.#storeSeenSinceMs = this.#options.clock();
  }

  /** Asks the store, by a renewal, whether it still knows this leadership; else it is lost. */
  async isProven(): Promise<boolean> {
    if (this.#held === null) return false;
    if (await this.#store.renewLeadership(this.#options.candidateId, this.#held.epoch)) return true;
    this.lose();
    return false;
  }

  /** Somebody else leads, or nobody: campaign at once. */
  lose(): void {
    this.#held = null;
    this.#renewAtMs = 0;
  }

  /** The store did not answer as it should: what it shows next may be new to it, too. */
  interrupted(): void {
    this.#storeSeenSinceMs = this.#options.clock();
  }

  /** Gives the lease back, so that another candidate need not wait for its end. */
  async resign(): Promise<void> {
    const held = this.#held;
    this.lose();
    if (held !== null) await this.#store.resign(this.#options.candidateId, held.epoch).catch(() => undefined);
  }
}
