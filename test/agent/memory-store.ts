import type { NodeRecord } from '../../src/cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport, ReplicaAssignment } from '../../src/cluster/replicas/types.ts';
import { ServeError } from '../../src/lib/errors.ts';
import type { AgentStore, StoreLink, Topic, WatchStore } from '../../src/store/types.ts';

/** What agents need of a store, in memory, that the test can take away and empty. */
export class MemoryStore implements AgentStore, WatchStore {
  record: NodeRecord | null = null;
  report: NodeReport | null = null;
  assignment: NodeAssignment | null = null;
  link: StoreLink = 'connected';
  readonly history: string[] = [];
  readonly #watchers = new Set<(topic: Topic) => void>();
  readonly #linkListeners = new Set<(link: StoreLink) => void>();

  /** As a leader does: under the next version, unless said otherwise. */
  assign(replicas: readonly ReplicaAssignment[], over: Partial<NodeAssignment> = {}): NodeAssignment {
    const { version = 0, incarnation = 'i1' } = this.assignment ?? {};
    this.assignment = { nodeId: 'n1', epoch: 1, version: version + 1, incarnation, replicas, ...over };
    this.#hint();
    return this.assignment;
  }

  goAway(): void {
    this.link = 'lost';
    for (const listener of this.#linkListeners) listener('lost');
  }

  comeBack(): void {
    this.link = 'connected';
    for (const listener of this.#linkListeners) listener('connected');
    this.#hint();
  }

  /** FLUSHALL */
  empty(): void {
    this.record = null;
    this.report = null;
    this.assignment = null;
  }

  async publishNode(record: NodeRecord): Promise<void> {
    this.#reach();
    this.record = record;
    this.history.push(record.draining ? 'draining' : 'node');
  }

  async renewNode(): Promise<boolean> {
    this.#reach();
    return this.record !== null;
  }

  async publishReport(report: NodeReport): Promise<void> {
    this.#reach();
    this.report = report;
    this.history.push('report');
  }

  async removeNode(): Promise<void> {
    this.#reach();
    this.record = null;
    this.report = null;
    this.history.push('removed');
  }

  async readAssignment(): Promise<NodeAssignment | null> {
    this.#reach();
    return this.assignment;
  }

  async watch(_topics: readonly Topic[], onHint: (topic: Topic) => void): Promise<() => Promise<void>> {
    this.#reach();
    this.#watchers.add(onHint);
    return async () => {
      this.#watchers.delete(onHint);
    };
  }

  onLink(listener: (link: StoreLink) => void): () => void {
    this.#linkListeners.add(listener);
    return () => this.#linkListeners.delete(listener);
  }

  get watchers(): number {
    return this.#watchers.size + this.#linkListeners.size;
  }

  #hint(): void {
    if (this.link === 'connected') for (const watcher of this.#watchers) watcher('assignments');
  }

  #reach(): void {
    if (this.link === 'lost') throw new ServeError('no store', { code: 'STORE_UNREACHABLE' });
  }
}
