import type { RoutingTable } from '../cluster/routing/types.ts';
import { messageOf } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import type { Log } from '../lib/log.ts';
import type { IngressStore, WatchStore } from '../store/types.ts';

/** What of the store an ingress uses. */
export type RoutingStore = IngressStore & Pick<WatchStore, 'watch'>;

export interface RoutingSourceOptions {
  readonly nodeId: string;
  /** where the table is kept for the next start */
  readonly file: string;
  /** hints may be lost; so often the store is asked all the same */
  readonly pollMs: number;
  readonly log: Log;
}

/**
 * Where the routing table comes from: the disk at the start, the store from then on. Serves on with what it has while
 * the store is away, and says in the store what it serves by.
 */
export class RoutingSource {
  readonly #options: RoutingSourceOptions;
  readonly #onTable: (table: RoutingTable) => void;
  #store: RoutingStore | null = null;
  #table: RoutingTable | null = null;
  #unwatch: (() => Promise<void>) | null = null;
  #poll: NodeJS.Timeout | null = null;
  /** the refresh that runs now, and whether another is wanted after it */
  #refreshing: { readonly done: Promise<void>; again: boolean } | null = null;
  #publishedKey = '';
  #problem = '';
  #isStopped = false;

  constructor(options: RoutingSourceOptions, onTable: (table: RoutingTable) => void) {
    this.#options = options;
    this.#onTable = onTable;
  }

  get table(): RoutingTable | null {
    return this.#table;
  }

  /** The table of the last run, if there is one. */
  async loadSaved(): Promise<void> {
    const text = await readIfThere(this.#options.file);
    if (text === null) return;
    try {
      this.#take(JSON.parse(text) as RoutingTable);
    } catch (error) {
      this.#options.log.warn(
        { file: this.#options.file, problem: messageOf(error) },
        'saved routing table is unreadable',
      );
    }
  }

  /**
   * Follows the store from now on; one that cannot be reached is asked again until it can.
   * @throws StoreError where the store refuses
   */
  async follow(store: RoutingStore): Promise<void> {
    // A hint also comes after the store was lost: then it may have forgotten what was said to it.
    const unwatch = await store.watch(['routing'], () => {
      this.#publishedKey = '';
      void this.#refresh();
    });
    if (this.#isStopped) {
      await unwatch();
      return;
    }
    this.#unwatch = unwatch;
    this.#store = store;
    this.#poll = setInterval(() => void this.#refresh(), this.#options.pollMs);
    await this.#refresh();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#poll !== null) clearInterval(this.#poll);
    this.#store = null;
    const unwatch = this.#unwatch;
    this.#unwatch = null;
    await unwatch?.().catch(() => {}); // the store is away: so is the subscription
    await this.#refreshing?.done;
  }

  async #refresh(): Promise<void> {
    if (this.#refreshing !== null) {
      this.#refreshing.again = true;
      return this.#refreshing.done;
    }
    const run = { done: Promise.resolve(), again: false };
    this.#refreshing = run;
    run.done = this.#readUntilQuiet(run);
    await run.done;
  }

  async #readUntilQuiet(run: { again: boolean }): Promise<void> {
    do {
      run.again = false;
      await this.#readAndPublish();
    } while (run.again && this.#store !== null);
    this.#refreshing = null;
  }

  async #readAndPublish(): Promise<void> {
    const store = this.#store;
    if (store === null) return;
    try {
      const table = await store.readRouting();
      if (table !== null && isNewer(table, this.#table)) {
        this.#take(table);
        await this.#save(table);
      }
      await this.#publish(store);
      this.#problem = '';
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem) this.#options.log.warn({ problem }, 'routing table cannot be read');
      this.#problem = problem;
    }
  }

  async #save(table: RoutingTable): Promise<void> {
    try {
      await writeDurably(this.#options.file, JSON.stringify(table));
    } catch (error) {
      this.#options.log.error(
        { file: this.#options.file, problem: messageOf(error) },
        'routing table cannot be saved',
      );
    }
  }

  async #publish(store: RoutingStore): Promise<void> {
    if (this.#table === null) return;
    const { incarnation, version, epoch } = this.#table;
    const key = `${incarnation} ${version}`;
    if (key === this.#publishedKey) return;
    await store.publishIngress({ nodeId: this.#options.nodeId, incarnation, routingVersion: version, epoch });
    this.#publishedKey = key;
  }

  #take(table: RoutingTable): void {
    this.#table = table;
    this.#onTable(table);
  }
}

/**
 * Whether a table takes the place of the one that is held. Versions compare within one incarnation only; of another one, what a later leader says counts. What an earlier one
 * said is shown by a store that came back with older data.
 */
export function isNewer(table: RoutingTable, than: RoutingTable | null): boolean {
  if (than === null) return true;
  if (table.incarnation !== than.incarnation) return table.epoch > than.epoch;
  return table.version > than.version;
}
