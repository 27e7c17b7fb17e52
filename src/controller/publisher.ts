import { route, sameTable } from '../cluster/routing/route.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import type { EventDraft, FencedWrite, Leadership, Store } from '../store/types.ts';
import type { ClusterView } from './cluster-view.ts';
import type { LeaderState } from './leader-state.ts';

export interface PublishFacts {
  readonly view: ClusterView;
  readonly isAlive: (nodeId: string) => boolean;
  /** nodes that are told to leave, since the cluster is being stopped */
  readonly dismissed: ReadonlySet<string>;
}

/** Writes what the leader decided to the store, and only what changed. */
export class Publisher {
  readonly #store: Store;
  readonly #state: LeaderState;
  #table: RoutingTable | null = null;
  #tableIsDirty = true;
  readonly #events: EventDraft[] = [];
  readonly #forgotten = new Set<string>();
  revisionIsDirty = true;

  constructor(dependencies: { readonly store: Store; readonly state: LeaderState }) {
    this.#store = dependencies.store;
    this.#state = dependencies.state;
  }

  get table(): RoutingTable | null {
    return this.#table;
  }

  /** A new leadership: `sameData` tells whether the store still has what was written before. */
  async begin(sameData: boolean): Promise<void> {
    this.revisionIsDirty = true;
    this.#tableIsDirty = true;
    if (sameData && this.#table === null) this.#table = await this.#store.readRouting();
  }

  addEvents(events: readonly EventDraft[]): void {
    this.#events.push(...events);
  }

  forgetNode(nodeId: string): void {
    this.#forgotten.add(nodeId);
  }

  async publish(leadership: Leadership, facts: PublishFacts): Promise<FencedWrite> {
    const steps = [
      () => this.#publishRevision(leadership),
      () => this.#publishAssignments(leadership, facts),
      () => this.#publishRouting(leadership, facts),
      () => this.#publishForgotten(leadership, facts),
    ];
    for (const step of steps) {
      if ((await step()) === 'fenced') return 'fenced';
    }
    return 'written';
  }

  async #publishRevision(leadership: Leadership): Promise<FencedWrite> {
    const { revision } = this.#state;
    if (!this.revisionIsDirty || revision === null) return 'written';
    this.revisionIsDirty = false; // before it is sent: what is recorded meanwhile is sent again
    const outcome = await this.#sent(
      this.#store.publishRevision(leadership, revision, this.#state.rollouts),
      () => {
        this.revisionIsDirty = true;
      },
    );
    return outcome;
  }

  async #publishAssignments(leadership: Leadership, { view, dismissed }: PublishFacts): Promise<FencedWrite> {
    for (const nodeId of view.dirtyNodes()) {
      const known = view.assignment(nodeId);
      if (known === null) continue;
      const { version, replicas } = known;
      const events = this.#events.splice(0);
      const leave = dismissed.has(nodeId) ? { leave: true } : {};
      const outcome = await this.#sent(
        this.#store.publishAssignment(
          leadership,
          { nodeId, version, ...leadership, replicas, ...leave },
          events,
        ),
        () => this.#events.unshift(...events),
      );
      if (outcome === 'fenced') return 'fenced';
      view.markWritten(nodeId, version, leadership.epoch);
    }
    for (let event = this.#events[0]; event !== undefined; event = this.#events[0]) {
      await this.#store.appendEvent(event);
      this.#events.shift();
    }
    return 'written';
  }

  /** The outcome of a write; takes back what was said of it when nothing was written. */
  async #sent(write: Promise<FencedWrite>, takeBack: () => void): Promise<FencedWrite> {
    let outcome: FencedWrite = 'fenced';
    try {
      outcome = await write;
    } finally {
      if (outcome === 'fenced') takeBack();
    }
    return outcome;
  }

  async #publishRouting(leadership: Leadership, { view, isAlive }: PublishFacts): Promise<FencedWrite> {
    const { revision } = this.#state;
    if (revision === null) return 'written'; // nothing to serve before the first apply
    const next = route({
      revision,
      rollouts: this.#state.rollouts,
      states: this.#state.states,
      nodes: [...view.nodes.values()].map(({ record, report }) => ({
        record,
        alive: isAlive(record.nodeId),
        assigned: view.assignment(record.nodeId)?.replicas ?? [],
        report,
      })),
    });
    const before = this.#table;
    if (!this.#tableIsDirty && before !== null && sameTable(before, next)) return 'written';
    const unchanged =
      before !== null && sameTable(before, next) && before.incarnation === leadership.incarnation;
    const version = unchanged ? before.version : (before?.version ?? 0) + 1;
    const table: RoutingTable = { ...next, version, ...leadership };
    const outcome = await this.#store.publishRouting(leadership, table);
    if (outcome === 'written') {
      this.#table = table;
      this.#tableIsDirty = false;
    }
    return outcome;
  }

  async #publishForgotten(leadership: Leadership, { view }: PublishFacts): Promise<FencedWrite> {
    for (const nodeId of this.#forgotten) {
      const isBack = view.nodes.has(nodeId);
      if (!isBack && (await this.#store.forgetNode(leadership, nodeId)) === 'fenced') return 'fenced';
      this.#forgotten.delete(nodeId);
    }
    return 'written';
  }
}
