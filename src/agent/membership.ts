import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { NodeReport } from '../cluster/replicas/types.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type AgentStore, NODE_RENEW_MS, type WatchStore } from '../store/types.ts';

/** Reports within this time become one: at most 20 a second, however much happens. */
const COALESCE_MS = 50;

export interface MembershipDependencies {
  readonly store: AgentStore & Pick<WatchStore, 'onLink'>;
  readonly log: Log;
  /** what to publish, asked for when it is sent */
  readonly record: () => NodeRecord;
  readonly report: () => NodeReport;
  /** looks for what may have changed unnoticed, before each renewal of the lease */
  readonly beforeRenewal: () => Promise<void>;
}

/**
 * The node's presence in the store: its lease, its record and its report. A store that is away costs nothing but
 * freshness; when it is back, or has forgotten the node, everything is published again.
 */
export class Membership {
  readonly #nodeId: string;
  readonly #dependencies: MembershipDependencies;
  readonly #unpublished = { record: true, report: true };
  #renewal: NodeJS.Timeout | null = null;
  #flushTimer: NodeJS.Timeout | null = null;
  #flushing: Promise<void> | null = null;
  #unlink: () => void = () => undefined;
  #isStoreAway = false;

  constructor(nodeId: string, dependencies: MembershipDependencies) {
    this.#nodeId = nodeId;
    this.#dependencies = dependencies;
  }

  /** Publishes record and report, and keeps the lease from here on. Does not throw when the store is away. */
  async start(): Promise<void> {
    if (this.#renewal !== null) return;
    this.#renewal = setInterval(() => void this.#renew(), NODE_RENEW_MS);
    this.#unlink = this.#dependencies.store.onLink((link) => {
      if (link === 'connected') this.#publishAll();
    });
    await this.flush();
  }

  recordChanged(): void {
    this.#unpublished.record = true;
    this.#schedule();
  }

  reportChanged(): void {
    this.#unpublished.report = true;
    this.#schedule();
  }

  /** Publishes what is not in the store yet, now. */
  async flush(): Promise<void> {
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#flushTimer = null;
    while (this.#flushing !== null) await this.#flushing;
    this.#flushing = this.#publish().finally(() => {
      this.#flushing = null;
    });
    await this.#flushing;
  }

  /** Stops renewing; record and lease stay until the lease lapses. Idempotent. */
  async stop(): Promise<void> {
    if (this.#renewal !== null) clearInterval(this.#renewal);
    if (this.#flushTimer !== null) clearTimeout(this.#flushTimer);
    this.#renewal = null;
    this.#flushTimer = null;
    this.#unlink();
    await this.#flushing;
  }

  /** Stops, and takes the node out of the store: it left in order. */
  async leave(): Promise<void> {
    await this.stop();
    await this.#attempt(() => this.#dependencies.store.removeNode(this.#nodeId));
  }

  #publishAll(): void {
    this.recordChanged();
    this.reportChanged();
  }

  #schedule(): void {
    if (this.#renewal === null || this.#flushTimer !== null) return;
    this.#flushTimer = setTimeout(() => void this.flush(), COALESCE_MS);
  }

  async #renew(): Promise<void> {
    await this.#dependencies.beforeRenewal();
    if (this.#flushing !== null || this.#renewal === null) return;
    await this.#attempt(async () => {
      if (!(await this.#dependencies.store.renewNode(this.#nodeId))) this.#publishAll();
    });
    const { record, report } = this.#unpublished;
    if (record || report) this.#schedule();
  }

  async #publish(): Promise<void> {
    const { store, record, report } = this.#dependencies;
    const unpublished = this.#unpublished;
    if (unpublished.record) {
      unpublished.record = false; // before it is sent: a change meanwhile is published again
      unpublished.record = !(await this.#attempt(() => store.publishNode(record()))) || unpublished.record;
    }
    if (unpublished.report) {
      unpublished.report = false;
      unpublished.report = !(await this.#attempt(() => store.publishReport(report()))) || unpublished.report;
    }
  }

  /** @returns false when the store did not take it; said once for each time that it is away */
  async #attempt(call: () => Promise<void>): Promise<boolean> {
    try {
      await call();
      if (this.#isStoreAway) this.#dependencies.log.info({}, 'the store is back');
      this.#isStoreAway = false;
      return true;
    } catch (error) {
      if (!this.#isStoreAway) {
        this.#dependencies.log.warn({ error: messageOf(error) }, 'the store is away; what runs goes on');
      }
      this.#isStoreAway = true;
      return false;
    }
  }
}
