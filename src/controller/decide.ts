import type { NodeReport, ReplicaAssignment } from '../cluster/replicas/types.ts';
import { adoptReported } from '../cluster/rollout/adopt-reported.ts';
import { reconcile } from '../cluster/rollout/reconcile.ts';
import type { ObservedNode, Plan } from '../cluster/rollout/types.ts';
import type { EventDraft } from '../store/types.ts';
import type { ClusterView, KnownAssignment, KnownNode } from './cluster-view.ts';
import type { LeaderState } from './leader-state.ts';

export interface DecisionInput {
  readonly nowMs: number;
  readonly isAlive: (nodeId: string) => boolean;
  readonly newReplicaId: (deployment: string) => string;
  readonly incarnation: string;
}

export interface Decided {
  readonly plan: Plan;
  /** nodes whose assignment changes, with the whole new list */
  readonly assignments: ReadonlyMap<string, readonly ReplicaAssignment[]>;
  /** nodes that are given up with this */
  readonly lost: readonly string[];
  readonly events: readonly EventDraft[];
  readonly log: readonly { readonly fields: Readonly<Record<string, unknown>>; readonly message: string }[];
}

/** One look at the cluster: what the leader sees, decided by the pure functions, as assignments per node. */
export function decide(view: ClusterView, state: LeaderState, input: DecisionInput): Decided {
  const adopted = new Map<string, readonly ReplicaAssignment[]>();
  const nodes = [...view.nodes.values()].map((node) => observedNode(view, node, input, adopted));
  const plan = reconcile({ rollouts: state.rollouts, nodes }, input.nowMs, input.newReplicaId);
  const assignments = assignmentsAfter(plan, nodes, adopted);
  const lost = plan.vanished.length > 0 ? [] : nodes.filter((node) => !node.alive).map((node) => node.nodeId);
  return { plan, assignments, lost, events: eventsOf(plan), log: logOf(plan) };
}

function observedNode(
  view: ClusterView,
  node: KnownNode,
  input: DecisionInput,
  adopted: Map<string, readonly ReplicaAssignment[]>,
): ObservedNode {
  const { record, report } = node;
  const known = view.assignment(record.nodeId);
  let assigned = known?.replicas ?? [];
  if (report !== null && (known === null || isBehind(known, report, input.incarnation))) {
    // The store was emptied or is older, or this leader is new: what the node runs is what it was assigned.
    assigned = adoptReported(assigned, report);
    adopted.set(record.nodeId, assigned);
  }
  return {
    nodeId: record.nodeId,
    alive: input.isAlive(record.nodeId),
    missing: node.unleasedSinceMs !== null && !node.writtenOff,
    draining: record.draining,
    capacity: record.capacity,
    assigned,
    assignedVersion: known?.version ?? 0,
    incarnation: input.incarnation,
    report,
  };
}

/** Whether the node was told more than is known here: a store that fell back showed this leader an older assignment. */
function isBehind(known: KnownAssignment, report: NodeReport, incarnation: string): boolean {
  return report.incarnation === incarnation && report.assignmentVersion > known.version;
}

function assignmentsAfter(
  plan: Plan,
  nodes: readonly ObservedNode[],
  adopted: ReadonlyMap<string, readonly ReplicaAssignment[]>,
): ReadonlyMap<string, readonly ReplicaAssignment[]> {
  const after = new Map<string, readonly ReplicaAssignment[]>(adopted);
  const listOf = (nodeId: string): readonly ReplicaAssignment[] =>
    after.get(nodeId) ?? nodes.find((node) => node.nodeId === nodeId)?.assigned ?? [];
  const change = (
    nodeId: string,
    replicaId: string,
    to: (one: ReplicaAssignment) => ReplicaAssignment,
  ): void => {
    after.set(
      nodeId,
      listOf(nodeId).map((one) => (one.replicaId === replicaId ? to(one) : one)),
    );
  };
  for (const { nodeId, replicaId } of plan.forget) {
    after.set(
      nodeId,
      listOf(nodeId).filter((one) => one.replicaId !== replicaId),
    );
  }
  for (const { nodeId, replicaId, to } of plan.update) {
    change(nodeId, replicaId, (one) => ({ ...one, revision: to.revision, spec: to.spec }));
  }
  for (const { nodeId, replicaId } of plan.drain)
    change(nodeId, replicaId, (one) => ({ ...one, desired: 'drain' }));
  for (const { nodeId, assignment } of plan.start) after.set(nodeId, [...listOf(nodeId), assignment]);
  return after;
}

function eventsOf(plan: Plan): readonly EventDraft[] {
  return [
    ...plan.start.map(({ nodeId, assignment, why }) => ({
      type: 'replica-assigned',
      fields: { node: nodeId, replica: assignment.replicaId, deployment: assignment.deployment, why },
    })),
    ...plan.drain.map(({ nodeId, replicaId, why }) => ({
      type: 'replica-drained',
      fields: { node: nodeId, replica: replicaId, why },
    })),
    ...plan.rollouts.map((rollout) => ({
      type: rollout.failure === null ? 'rollout-advanced' : 'rollout-failed',
      fields: {
        deployment: rollout.deployment,
        revision: rollout.wanted?.revision ?? null,
        serving: rollout.lastGood?.revision ?? null,
        message: rollout.failure?.message ?? '',
      },
    })),
    ...plan.finished.map((deployment) => ({ type: 'deployment-removed', fields: { deployment } })),
  ];
}

function logOf(plan: Plan): Decided['log'] {
  return eventsOf(plan).map((event) => ({ fields: event.fields, message: event.type }));
}
