import type { NodeRecord } from '../../src/cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport } from '../../src/cluster/replicas/types.ts';
import type { Rollout } from '../../src/cluster/rollout/types.ts';
import type { Rotation } from '../../src/cluster/rotation/types.ts';
import type { RoutingTable } from '../../src/cluster/routing/types.ts';
import type { Revision } from '../../src/cluster/spec/types.ts';
import { ServeError } from '../../src/lib/errors.ts';
import {
  type ClusterEvent,
  type EventDraft,
  type FencedWrite,
  type IngressEntry,
  LEADER_LEASE_MS,
  type Leadership,
  NODE_LEASE_MS,
  type NodeEntry,
  type Store,
  type StoreLink,
  type Topic,
} from '../../src/store/types.ts';

interface Content {
  readonly lease: { readonly holder: string; readonly epoch: number; readonly endsAtMs: number } | null;
  readonly epoch: number;
  readonly incarnation: string | null;
  readonly writes: number;
  readonly records: ReadonlyMap<string, NodeRecord>;
  readonly leases: ReadonlyMap<string, number>;
  readonly reports: ReadonlyMap<string, NodeReport>;
  readonly assignments: ReadonlyMap<string, NodeAssignment>;
  readonly ingresses: ReadonlyMap<string, IngressEntry>;
  readonly revision: { readonly revision: Revision; readonly rollouts: readonly Rollout[] } | null;
  readonly routing: RoutingTable | null;
  readonly rotation: Rotation | null;
  readonly events: readonly EventDraft[];
}

const EMPTY: Content = {
  lease: null,
  epoch: 0,
  incarnation: null,
  writes: 0,
  records: new Map(),
  leases: new Map(),
  reports: new Map(),
  assignments: new Map(),
  ingresses: new Map(),
  revision: null,
  routing: null,
  rotation: null,
  events: [],
};

/** What a store's server holds, with a clock of the test's: to be emptied, snapshotted and brought back. */
export class MemoryServer {
  readonly clock: () => number;
  content: Content = EMPTY;
  run = 1;
  isAway = false;
  #incarnations = 0;

  constructor(clock: () => number) {
    this.clock = clock;
  }

  connect(): MemoryStore {
    return new MemoryStore(this);
  }

  /** FLUSHALL */
  empty(): void {
    this.content = EMPTY;
  }

  /** The server comes up from what it held then. */
  restore(snapshot: Content): void {
    this.content = snapshot;
    this.run += 1;
  }

  change(over: Partial<Content>): void {
    this.content = { ...this.content, ...over };
  }

  newIncarnation(): string {
    this.#incarnations += 1;
    return `i${this.#incarnations}`;
  }
}

/** A connection to it, which keeps the store's contract; `onCall` and `onReply` may fail, or let others go first. */
export class MemoryStore implements Store {
  readonly #server: MemoryServer;
  onCall: (call: string) => Promise<void> | void = () => undefined;
  onReply: (call: string) => Promise<void> | void = () => undefined;
  /** names of all calls so far */
  readonly calls: string[] = [];
  readonly #watchers = new Set<(topic: Topic) => void>();
  #own = { incarnation: null as string | null, writes: 0, run: 0 };

  constructor(server: MemoryServer) {
    this.#server = server;
  }

  get link(): StoreLink {
    return this.#server.isAway ? 'lost' : 'connected';
  }

  get writeCount(): number {
    return this.#own.writes;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  hint(topic: Topic): void {
    for (const watcher of [...this.#watchers]) watcher(topic);
  }

  campaign(candidateId: string, known: Parameters<Store['campaign']>[1]): Promise<Leadership | null> {
    return this.#call('campaign', () => {
      const { content, clock, run } = this.#server;
      const lease = this.#lease();
      if (lease !== null && lease.holder !== candidateId) return null;
      const epoch = Math.max(content.epoch, known.highestEpoch) + 1;
      const ours = known.incarnation ?? this.#own.incarnation;
      const writes =
        ours === this.#own.incarnation ? Math.max(known.writeCount, this.#own.writes) : known.writeCount;
      const continues =
        content.incarnation !== null &&
        (ours === null || (ours === content.incarnation && content.writes >= writes)) &&
        (this.#own.run === 0 || this.#own.run === run);
      const incarnation = continues ? (content.incarnation ?? '') : this.#server.newIncarnation();
      const count = continues ? content.writes : 0;
      this.#server.change({
        lease: { holder: candidateId, epoch, endsAtMs: clock() + LEADER_LEASE_MS },
        epoch,
        incarnation,
        writes: count,
      });
      this.#own = { incarnation, writes: count, run };
      return { epoch, incarnation };
    });
  }

  renewLeadership(candidateId: string, epoch: number): Promise<boolean> {
    return this.#call('renewLeadership', () => {
      const lease = this.#lease();
      if (this.#own.run !== this.#server.run) return false;
      if (lease?.holder !== candidateId || lease.epoch !== epoch) return false;
      this.#server.change({ lease: { ...lease, endsAtMs: this.#server.clock() + LEADER_LEASE_MS } });
      return true;
    });
  }

  resign(candidateId: string, epoch: number): Promise<void> {
    return this.#call('resign', () => {
      const lease = this.#lease();
      if (lease?.holder === candidateId && lease.epoch === epoch) this.#server.change({ lease: null });
    });
  }

  publishRevision(
    leadership: Leadership,
    revision: Revision,
    rollouts: readonly Rollout[],
  ): Promise<FencedWrite> {
    return this.#fenced('publishRevision', leadership, () => ({ revision: { revision, rollouts } }));
  }

  publishAssignment(
    leadership: Leadership,
    assignment: NodeAssignment,
    events: readonly EventDraft[],
  ): Promise<FencedWrite> {
    return this.#fenced('publishAssignment', leadership, ({ assignments, events: before }) => ({
      assignments: new Map([...assignments, [assignment.nodeId, assignment]]),
      events: [...before, ...events],
    }));
  }

  publishRouting(leadership: Leadership, routing: RoutingTable): Promise<FencedWrite> {
    return this.#fenced('publishRouting', leadership, () => ({ routing }));
  }

  publishRotation(
    leadership: Leadership,
    rotation: Rotation,
    events: readonly EventDraft[],
  ): Promise<FencedWrite> {
    return this.#fenced('publishRotation', leadership, ({ events: before }) => ({
      rotation,
      events: [...before, ...events],
    }));
  }

  forgetNode(leadership: Leadership, nodeId: string): Promise<FencedWrite> {
    return this.#fenced('forgetNode', leadership, (content) => ({
      ...withoutNode(content, nodeId),
      assignments: without(content.assignments, nodeId),
    }));
  }

  publishNode(record: NodeRecord): Promise<void> {
    return this.#call('publishNode', () => {
      const { content, clock } = this.#server;
      this.#server.change({
        records: new Map([...content.records, [record.nodeId, record]]),
        leases: new Map([...content.leases, [record.nodeId, clock() + NODE_LEASE_MS]]),
      });
    });
  }

  renewNode(nodeId: string): Promise<boolean> {
    return this.#call('renewNode', () => {
      const { content, clock } = this.#server;
      if (!this.#isLeased(nodeId)) return false;
      this.#server.change({ leases: new Map([...content.leases, [nodeId, clock() + NODE_LEASE_MS]]) });
      return true;
    });
  }

  publishReport(report: NodeReport): Promise<void> {
    return this.#call('publishReport', () => {
      const { reports } = this.#server.content;
      this.#server.change({ reports: new Map([...reports, [report.nodeId, report]]) });
    });
  }

  removeNode(nodeId: string): Promise<void> {
    return this.#call('removeNode', () => this.#server.change(withoutNode(this.#server.content, nodeId)));
  }

  publishIngress(entry: IngressEntry): Promise<void> {
    return this.#call('publishIngress', () => {
      const { ingresses } = this.#server.content;
      this.#server.change({ ingresses: new Map([...ingresses, [entry.nodeId, entry]]) });
    });
  }

  appendEvent(event: EventDraft): Promise<void> {
    return this.#call('appendEvent', () =>
      this.#server.change({ events: [...this.#server.content.events, event] }),
    );
  }

  readNodes(): Promise<readonly NodeEntry[]> {
    return this.#call('readNodes', () =>
      [...this.#server.content.records.values()].map((record) => ({
        record,
        leased: this.#isLeased(record.nodeId),
        report: this.#server.content.reports.get(record.nodeId) ?? null,
      })),
    );
  }

  readAssignment(nodeId: string): Promise<NodeAssignment | null> {
    return this.#call('readAssignment', () => this.#server.content.assignments.get(nodeId) ?? null);
  }

  readAssignments(): Promise<readonly NodeAssignment[]> {
    return this.#call('readAssignments', () => [...this.#server.content.assignments.values()]);
  }

  readIngresses(): Promise<readonly IngressEntry[]> {
    return this.#call('readIngresses', () => [...this.#server.content.ingresses.values()]);
  }

  readRevision(): Promise<Content['revision']> {
    return this.#call('readRevision', () => this.#server.content.revision);
  }

  readRouting(): Promise<RoutingTable | null> {
    return this.#call('readRouting', () => this.#server.content.routing);
  }

  readRotation(): Promise<Rotation | null> {
    return this.#call('readRotation', () => this.#server.content.rotation);
  }

  readLeader(): Promise<{ candidateId: string; epoch: number } | null> {
    return this.#call('readLeader', () => {
      const lease = this.#lease();
      return lease === null ? null : { candidateId: lease.holder, epoch: lease.epoch };
    });
  }

  readEvents(afterId: string | null, limit: number): Promise<readonly ClusterEvent[]> {
    return this.#call('readEvents', () => {
      const events = this.#server.content.events.map((event, index) => ({
        ...event,
        id: `${index}`,
        atMs: 0,
      }));
      return afterId === null ? events.slice(-limit) : events.slice(Number(afterId) + 1).slice(0, limit);
    });
  }

  async watch(_topics: readonly Topic[], onHint: (topic: Topic) => void): Promise<() => Promise<void>> {
    this.#watchers.add(onHint);
    return async () => {
      this.#watchers.delete(onHint);
    };
  }

  onLink(): () => void {
    return () => undefined;
  }

  async close(): Promise<void> {
    this.#watchers.clear();
  }

  #lease(): Content['lease'] {
    const { content, clock } = this.#server;
    return content.lease !== null && content.lease.endsAtMs > clock() ? content.lease : null;
  }

  #isLeased(nodeId: string): boolean {
    return (this.#server.content.leases.get(nodeId) ?? 0) > this.#server.clock();
  }

  async #fenced(
    call: string,
    leadership: Leadership,
    write: (content: Content) => Partial<Content>,
  ): Promise<FencedWrite> {
    return await this.#call(call, () => {
      const { content } = this.#server;
      const leads =
        this.#lease()?.epoch === leadership.epoch && content.incarnation === leadership.incarnation;
      if (!leads) return 'fenced';
      this.#server.change({ ...write(content), writes: content.writes + 1 });
      this.#own.writes = content.writes + 1;
      return 'written';
    });
  }

  async #call<Result>(call: string, work: () => Result): Promise<Result> {
    this.calls.push(call);
    await this.onCall(call);
    if (this.#server.isAway) throw unreachable(call);
    const result = work();
    await this.onReply(call);
    return result;
  }
}

/** What every call throws while the server is away. */
export function unreachable(call: string): ServeError {
  return new ServeError(`${call}: no store`, { code: 'STORE_UNREACHABLE' });
}

function withoutNode(content: Content, nodeId: string): Partial<Content> {
  return {
    records: without(content.records, nodeId),
    leases: without(content.leases, nodeId),
    reports: without(content.reports, nodeId),
    ingresses: without(content.ingresses, nodeId),
  };
}

function without<Value>(map: ReadonlyMap<string, Value>, key: string): ReadonlyMap<string, Value> {
  return new Map([...map].filter(([name]) => name !== key));
}
