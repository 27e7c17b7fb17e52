import { isSameSecret } from './hash.ts';

/**
 * Secrets that may be replaced while they are in use: the first is shown to others, all of them are accepted from
 * others. Whoever keeps this object follows what it holds.
 */
export class LiveSecrets {
  #all: readonly [string, ...string[]];
  readonly #listeners = new Set<() => void>();

  constructor(first: string, ...others: readonly string[]) {
    this.#all = [first, ...others];
  }

  /** the one that is shown */
  get current(): string {
    return this.#all[0];
  }

  /** those that are accepted, the one that is shown first */
  get all(): readonly [string, ...string[]] {
    return this.#all;
  }

  /** Whether a secret is accepted, in a time that says nothing of where it differs. */
  accepts(given: string): boolean {
    const matches = this.#all.map((one) => isSameSecret(given, one));
    return matches.includes(true);
  }

  /** From now on these, the first to be shown. Listeners hear of it where they are others than before. */
  use(all: readonly [string, ...string[]]): void {
    if (all.join('\n') === this.#all.join('\n')) return;
    this.#all = [...all];
    for (const listener of [...this.#listeners]) listener();
  }

  /** Calls back after each change. @returns what ends that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
