import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport, ReplicaAssignment } from '../cluster/replicas/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import type { IngressEntry, NodeEntry } from '../store/types.ts';

/** What the leader knows of one node, kept over losses of the store. */
export interface KnownNode {
  readonly record: NodeRecord;
  readonly report: NodeReport | null;
  /** when its lease was first seen missing, null while it is there */
  readonly unleasedSinceMs: number | null;
  /** its record is missing from the store too: it left, or the store was emptied */
  readonly recordMissing: boolean;
  /** its loss was acted upon, by this leader or one before: it is no part of what is lost later */
  readonly writtenOff: boolean;
}

/** What the leader has assigned to one node. */
export interface KnownAssignment {
  readonly version: number;
  readonly replicas: readonly ReplicaAssignment[];
  /** not in the store yet */
  readonly dirty: boolean;
  /** under which what the store has of it was written; 0: nothing was */
  readonly epoch: number;
}

/**
 * The leader's own picture of nodes and assignments. It is fed with what the store shows and survives the store's
 * loss, so that an emptied store is filled again from here without anything being restarted.
 */
export class ClusterView {
  readonly #nodes = new Map<string, KnownNode>();
  readonly #assignments = new Map<string, KnownAssignment>();
  /** what each ingress serves by, as the store shows it now */
  ingresses: readonly IngressEntry[] = [];

  get nodes(): ReadonlyMap<string, KnownNode> {
    return this.#nodes;
  }

  /** What all nodes are assigned, lost ones included. */
  get assignedSpecs(): readonly PinnedSpec[] {
    return [...this.#assignments.values()].flatMap(({ replicas }) => replicas.map(({ spec }) => spec));
  }

  assignment(nodeId: string): KnownAssignment | null {
    return this.#assignments.get(nodeId) ?? null;
  }

  /** Takes in what the store shows now; a node that it does not show is kept, as unleased. */
  observe(entries: readonly NodeEntry[], nowMs: number): void {
    const shown = new Set(entries.map((entry) => entry.record.nodeId));
    for (const { record, report, leased } of entries) {
      const before = this.#nodes.get(record.nodeId);
      this.#nodes.set(record.nodeId, {
        record,
        report: report ?? before?.report ?? null,
        unleasedSinceMs: leased ? null : (before?.unleasedSinceMs ?? nowMs),
        recordMissing: false,
        writtenOff: !leased && (before?.writtenOff ?? !this.#isUsed(record.nodeId)),
      });
    }
    for (const [nodeId, known] of this.#nodes) {
      if (shown.has(nodeId)) continue;
      this.#nodes.set(nodeId, {
        ...known,
        unleasedSinceMs: known.unleasedSinceMs ?? nowMs,
        recordMissing: true,
      });
    }
  }

  /** A node is lost, and its replicas are to be replaced. */
  writeOff(nodeId: string): void {
    const known = this.#nodes.get(nodeId);
    if (known !== undefined) this.#nodes.set(nodeId, { ...known, writtenOff: true });
  }

  forget(nodeId: string): void {
    this.#nodes.delete(nodeId);
    this.#assignments.delete(nodeId);
  }

  /** Takes over assignments that an earlier leader of the same incarnation left in the store. */
  takeOver(assignments: readonly NodeAssignment[]): void {
    for (const { nodeId, version, replicas, epoch } of assignments) {
      this.#assignments.set(nodeId, { version, replicas, dirty: false, epoch });
    }
  }

  assign(nodeId: string, replicas: readonly ReplicaAssignment[]): void {
    // A node that was forgotten and came back may follow a greater version of the same incarnation already.
    const followed = this.#nodes.get(nodeId)?.report?.assignmentVersion ?? 0;
    const before = this.#assignments.get(nodeId);
    const version = Math.max(before?.version ?? 0, followed) + 1;
    this.#assignments.set(nodeId, { version, replicas, dirty: true, epoch: before?.epoch ?? 0 });
  }

  markWritten(nodeId: string, version: number, epoch: number): void {
    const known = this.#assignments.get(nodeId);
    if (known?.version === version) this.#assignments.set(nodeId, { ...known, dirty: false, epoch });
  }

  /**
   * Nodes follow later leaders only: what an earlier leader of this incarnation left in the store is nothing to a node that
   * has followed a later one of another since. It is to be written again, by this leader.
   */
  renewIgnored(incarnation: string): void {
    for (const [nodeId, { report }] of this.#nodes) {
      const known = this.#assignments.get(nodeId);
      if (report === null || known === undefined || known.dirty) continue;
      if (report.incarnation === incarnation || (report.epoch ?? 0) < known.epoch) continue;
      this.#assignments.set(nodeId, { ...known, version: known.version + 1, dirty: true });
    }
  }

  /** The store lost what it had (new incarnation): everything is to be written again, under greater versions. */
  markAllDirty(): void {
    for (const [nodeId, known] of this.#assignments) {
      this.#assignments.set(nodeId, { ...known, version: known.version + 1, dirty: true });
    }
  }

  dirtyNodes(): readonly string[] {
    return [...this.#assignments].filter(([, known]) => known.dirty).map(([nodeId]) => nodeId);
  }

  #isUsed(nodeId: string): boolean {
    return (this.#assignments.get(nodeId)?.replicas.length ?? 0) > 0;
  }
}
