import type { GpuSlice } from '../../../src/cluster/placement/types.ts';
import type {
  ReplicaAssignment,
  ReplicaFailure,
  ReplicaStatus,
} from '../../../src/cluster/replicas/types.ts';
import { reconcile } from '../../../src/cluster/rollout/reconcile.ts';
import type {
  DeploymentState,
  ObservedNode,
  Plan,
  RevisedSpec,
  Rollout,
} from '../../../src/cluster/rollout/types.ts';
import { pinnedSpec, placeableNode, type SpecOver } from '../builders.ts';

export const NOW_MS = 1_000_000;

export function revised(revision: number, over: SpecOver = {}): RevisedSpec {
  return { revision, spec: pinnedSpec(over) };
}

export function rollout(
  wanted: RevisedSpec | null,
  lastGood: RevisedSpec | null = null,
  failure: Rollout['failure'] = null,
): Rollout {
  const deployment = (wanted ?? lastGood)?.spec.name ?? 'Echo';
  return { deployment, wanted, lastGood, failure };
}

/** A replica of a scene: what is assigned, and what its node says of it (null: nothing). */
export interface Cast {
  readonly assignment: ReplicaAssignment;
  readonly status: ReplicaStatus | null;
}

type Said = Partial<Omit<ReplicaStatus, 'assignment'>> & { readonly slices?: readonly GpuSlice[] };

/** A replica that has proved itself, unless told otherwise. */
export function replica(replicaId: string, of: RevisedSpec, said: Said | null = {}): Cast {
  const { slices = [], ...status } = said ?? {};
  const assignment: ReplicaAssignment = {
    replicaId,
    deployment: of.spec.name,
    revision: of.revision,
    desired: 'run',
    slices,
    spec: of.spec,
  };
  if (said === null) return { assignment, status: null };
  return {
    assignment,
    status: {
      assignment,
      phase: 'ready',
      message: '',
      pid: 1,
      prepared: true,
      admitted: true,
      stable: true,
      restarts: 0,
      startFailures: 0,
      failure: null,
      reconfigured: null,
      startedWith: of.spec.hashes.reconfigure,
      startedAtMs: 0,
      ...status,
    },
  };
}

/** One that starts and has not answered yet. */
export function starting(replicaId: string, of: RevisedSpec, said: Said = {}): Cast {
  return replica(replicaId, of, { phase: 'starting', stable: false, ...said });
}

/** One that was promised a slot which another still holds. */
export function waiting(replicaId: string, of: RevisedSpec, said: Said = {}): Cast {
  const nothing = { phase: 'pending', stable: false, admitted: false, startedWith: null } as const;
  return replica(replicaId, of, { ...nothing, ...said });
}

export function draining(cast: Cast): Cast {
  return { ...cast, assignment: { ...cast.assignment, desired: 'drain' } };
}

export function failure(over: Partial<ReplicaFailure> = {}): ReplicaFailure {
  return { kind: 'start', message: 'ValueError: no', traceback: 'Traceback …', atMs: 500, ...over };
}

export function node(
  nodeId: string,
  cast: readonly Cast[] = [],
  over: Partial<ObservedNode> & { gpus?: number; cpus?: number } = {},
): ObservedNode {
  const { gpus, cpus, ...fields } = over;
  const size = { ...(gpus === undefined ? {} : { gpus }), ...(cpus === undefined ? {} : { cpus }) };
  return {
    nodeId,
    alive: true,
    draining: false,
    capacity: placeableNode(nodeId, size).capacity,
    assigned: cast.map(({ assignment }) => assignment),
    assignedVersion: 5,
    incarnation: 'i1',
    report: {
      nodeId,
      assignmentVersion: 5,
      incarnation: 'i1',
      replicas: cast.flatMap(({ status }) => (status === null ? [] : [status])),
    },
    ...fields,
  };
}

/** A plan in words: what starts where, what drains, what is forgotten and updated. */
export interface Told {
  readonly start: readonly string[];
  readonly drain: readonly string[];
  readonly forget: readonly string[];
  readonly update: readonly string[];
  readonly state: DeploymentState;
  readonly plan: Plan;
}

/** Reconciles; new replicas are `new1`, `new2` …; the state is the first rollout's. */
export function reconciled(rollouts: readonly Rollout[], nodes: readonly ObservedNode[]): Told {
  let count = 0;
  const plan = reconcile({ rollouts, nodes }, NOW_MS, () => {
    count += 1;
    return `new${count}`;
  });
  return {
    start: plan.start.map(({ nodeId, assignment }) => `r${assignment.revision} on ${nodeId}`),
    drain: plan.drain.map(({ replicaId }) => replicaId),
    forget: plan.forget.map(({ replicaId }) => replicaId),
    update: plan.update.map(({ replicaId, to }) => `${replicaId} to r${to.revision}`),
    state: plan.states[0]!,
    plan,
  };
}
