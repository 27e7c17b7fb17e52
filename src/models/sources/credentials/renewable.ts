import { canonicalJson } from '../../../lib/json.ts';

/** Credentials, and until when they hold. */
export interface Lease<Value> {
  readonly value: Value;
  /** milliseconds since 1970; null: until a server refuses them */
  readonly endsAtMs: number | null;
}

/** What runs out so soon may do so on its way. */
const MARGIN_MS = 60_000;

/**
 * Credentials that are got once for all requests that want them at the same time, and anew when they run out, or when a
 * server has refused them.
 */
export class Renewable<Value> {
  readonly #load: () => Promise<Lease<Value>>;
  #lease: Lease<Value> | null = null;
  #gotAtMs = 0;
  #loading: Promise<Value> | null = null;

  constructor(load: () => Promise<Lease<Value>>) {
    this.#load = load;
  }

  /** What was got last, for messages; null before the first time. */
  get held(): Value | null {
    return this.#lease?.value ?? null;
  }

  /** @throws what `load` throws; the next call tries again */
  async get(): Promise<Value> {
    const lease = this.#lease;
    if (lease !== null && Date.now() < (lease.endsAtMs ?? Number.POSITIVE_INFINITY) - MARGIN_MS) {
      return lease.value;
    }
    return await this.#loadOnce();
  }

  /**
   * Gets them anew after a refusal, once for all requests that were refused together.
   * @param askedAtMs when the refused request was made, by `performance.now()`
   * @returns whether there are others now, so that asking again may help
   */
  async renew(askedAtMs: number): Promise<boolean> {
    if (this.#gotAtMs > askedAtMs) return true;
    const before = canonicalJson(this.held);
    return canonicalJson(await this.#loadOnce()) !== before;
  }

  async #loadOnce(): Promise<Value> {
    this.#loading ??= this.#loadNow().finally(() => {
      this.#loading = null;
    });
    return await this.#loading;
  }

  async #loadNow(): Promise<Value> {
    this.#lease = await this.#load();
    this.#gotAtMs = performance.now();
    return this.#lease.value;
  }
}
