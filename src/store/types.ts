import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport } from '../cluster/replicas/types.ts';
import type { Rollout } from '../cluster/rollout/types.ts';
import type { Rotation } from '../cluster/rotation/types.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import type { Revision } from '../cluster/spec/types.ts';
import type { JsonValue } from '../lib/json.ts';

/** Version of the key layout and of what the values look like; another one in the store is refused with both named. */
export const STORE_SCHEMA_VERSION = 1;

export const NODE_LEASE_MS = 10_000;
export const NODE_RENEW_MS = 2_000;
export const LEADER_LEASE_MS = 4_000;
export const LEADER_RENEW_MS = 1_000;

/** What changed, as a hint to re-read; the payload is never trusted. */
export type Topic =
  | 'nodes'
  | 'reports'
  | 'assignments'
  | 'routing'
  | 'revision'
  | 'leader'
  | 'ingresses'
  | 'rotation';

export interface Leadership {
  readonly epoch: number;
  readonly incarnation: string;
}

export interface NodeEntry {
  readonly record: NodeRecord;
  /** its lease is in the store */
  readonly leased: boolean;
  readonly report: NodeReport | null;
}

/** What an ingress serves by, so that an apply can wait for it. */
export interface IngressEntry {
  readonly nodeId: string;
  readonly incarnation: string;
  readonly routingVersion: number;
  /** of the leadership that wrote it, so that no later one has a smaller */
  readonly epoch?: number;
}

export interface ClusterEvent {
  readonly id: string;
  readonly atMs: number;
  /** past tense, kebab-case: `node-joined`, `revision-recorded`, `rollout-failed` … */
  readonly type: string;
  readonly fields: { readonly [key: string]: JsonValue };
}

export type EventDraft = Omit<ClusterEvent, 'id' | 'atMs'>;

/** A write by a leader that is not the leader any more: nothing was changed. */
export type FencedWrite = 'written' | 'fenced';

export type StoreLink = 'connected' | 'lost';

/**
 * Leadership: a candidate holds the lease while it renews it. A new epoch is one more than the highest that the store
 * or the caller (`highestSeen`: its disk and what nodes report) has seen. The incarnation is made anew when the store
 * holds none or holds data older than what the caller last wrote (`lastKnown`).
 */
export interface LeaderStore {
  /** @returns null while another candidate holds the lease */
  campaign(
    candidateId: string,
    known: {
      readonly highestEpoch: number;
      readonly incarnation: string | null;
      readonly writeCount: number;
    },
  ): Promise<Leadership | null>;
  /** @returns false when the lease is not the caller's any more (or the store lost it): campaign again */
  renewLeadership(candidateId: string, epoch: number): Promise<boolean>;
  resign(candidateId: string, epoch: number): Promise<void>;

  /**
   * Leader writes that the data held after this connection's last campaign or write, in the incarnation it then had:
   * what `campaign` takes as `known.writeCount`. The connection remembers it, too, so that only a process that starts
   * anew needs one from its disk.
   */
  readonly writeCount: number;

  publishRevision(
    leadership: Leadership,
    revision: Revision,
    rollouts: readonly Rollout[],
  ): Promise<FencedWrite>;
  publishAssignment(
    leadership: Leadership,
    assignment: NodeAssignment,
    events: readonly EventDraft[],
  ): Promise<FencedWrite>;
  /** removes record, lease, report and assignment of a node that has left for good */
  forgetNode(leadership: Leadership, nodeId: string): Promise<FencedWrite>;
  publishRouting(leadership: Leadership, table: RoutingTable): Promise<FencedWrite>;
  publishRotation(
    leadership: Leadership,
    rotation: Rotation,
    events: readonly EventDraft[],
  ): Promise<FencedWrite>;
}

/** What an agent writes: its own record, lease and report, and nothing else. */
export interface AgentStore {
  /** record and lease; the event `node-joined` when the store did not know it */
  publishNode(record: NodeRecord): Promise<void>;
  /** @returns false when lease or record were missing: publish record and report again */
  renewNode(nodeId: string): Promise<boolean>;
  publishReport(report: NodeReport): Promise<void>;
  /** the node leaves in order: record, lease and report go, with the event `node-left` */
  removeNode(nodeId: string): Promise<void>;
  readAssignment(nodeId: string): Promise<NodeAssignment | null>;
}

export interface IngressStore {
  readRouting(): Promise<RoutingTable | null>;
  publishIngress(entry: IngressEntry): Promise<void>;
}

export interface ReadStore {
  readNodes(): Promise<readonly NodeEntry[]>;
  readAssignments(): Promise<readonly NodeAssignment[]>;
  readIngresses(): Promise<readonly IngressEntry[]>;
  readRevision(): Promise<{ readonly revision: Revision; readonly rollouts: readonly Rollout[] } | null>;
  readRouting(): Promise<RoutingTable | null>;
  /** the replacement of the cluster's token that is under way, or was the last; null: there was none */
  readRotation(): Promise<Rotation | null>;
  readLeader(): Promise<{ readonly candidateId: string; readonly epoch: number } | null>;
  /** oldest first; `afterId` of the last one seen, or null for the newest `limit` */
  readEvents(afterId: string | null, limit: number): Promise<readonly ClusterEvent[]>;
}

/** Subscriptions live on a connection of their own, renew themselves after a loss, and hint every topic then. */
export interface WatchStore {
  watch(topics: readonly Topic[], onHint: (topic: Topic) => void): Promise<() => Promise<void>>;
  onLink(listener: (link: StoreLink) => void): () => void;
  readonly link: StoreLink;
}

/**
 * One connection to the cluster's state. Every call has a deadline (2 s by default) and throws a StoreError with code
 * STORE_UNREACHABLE, STORE_AUTH, STORE_SCHEMA or STORE_REPLY; none waits for a lost store to come back.
 */
export interface Store extends LeaderStore, AgentStore, IngressStore, ReadStore, WatchStore {
  appendEvent(event: EventDraft): Promise<void>;
  close(): Promise<void>;
}

/** The `apply` queue (BullMQ): one job at a time, in order. */
export interface ApplyQueue<Job, Result> {
  /** enqueues and waits for the result; throws what the handler threw (its message and code), or on the deadline */
  submit(job: Job, timeoutMs: number): Promise<Result>;
  /** takes jobs while this process leads; the returned function stops after the job in hand */
  process(handler: (job: Job) => Promise<Result>): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export type StoreKind = 'redis' | 'valkey' | 'embedded-valkey' | 'external';

/** A store server that this node runs (managed process or embedded), or knows (external). */
export interface StoreServer {
  readonly kind: StoreKind;
  /** for clients, without password */
  readonly url: string;
  readonly pid: number | null;
  /** one line for a person: which one is used, and what is recommended for production */
  readonly description: string;
  /** makes it take these passwords and no others, the first being what its owner shows; does nothing for one that is given */
  usePasswords(passwords: readonly [string, ...string[]]): Promise<void>;
  /** takes off its disk what was overwritten or deleted; does nothing for one that is given */
  compact(): Promise<void>;
  /** ends it, saving its data; with `keep` a managed process goes on for the next head */
  stop(options?: { readonly keep?: boolean }): Promise<void>;
}
