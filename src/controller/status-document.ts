import { httpAddress } from '../cluster/nodes/http-address.ts';
import type { NodeRecord } from '../cluster/nodes/types.ts';
import type {
  Casualty,
  ReplicaAssignment,
  ReplicaFailure,
  ReplicaStatus,
} from '../cluster/replicas/types.ts';
import type { DeploymentState, Rollout } from '../cluster/rollout/types.ts';
import type {
  DeploymentStatus,
  GpuStatus,
  LostRequest,
  NodeStatus,
  ReplicaDetail,
  StatusDocument,
  TokenRotationStatus,
} from '../cluster/status/types.ts';
import type { Rotations } from './rotations.ts';

export interface NodeFacts {
  readonly record: NodeRecord;
  readonly alive: boolean;
  readonly assigned: readonly ReplicaAssignment[];
  readonly reported: readonly ReplicaStatus[];
  readonly casualties: readonly Casualty[];
}

export interface ClusterFacts {
  readonly cluster: string;
  readonly leader: string | null;
  readonly revision: number;
  readonly store: StatusDocument['store'];
  readonly rotation: TokenRotationStatus | null;
  readonly nodes: readonly NodeFacts[];
  readonly rollouts: readonly Rollout[];
  readonly states: readonly DeploymentState[];
}

/** Puts what the leader knows into the words of `status --json`. */
export function statusDocument(facts: ClusterFacts): StatusDocument {
  return {
    version: 1,
    cluster: facts.cluster,
    leader: facts.leader,
    revision: facts.revision,
    store: facts.store,
    token_rotation: facts.rotation,
    nodes: facts.nodes.map(nodeStatus),
    deployments: deploymentsOf(facts),
  };
}

/** @returns null where no token is on its way */
export function rotationStatus({
  rotation,
  nodes,
}: Pick<Rotations, 'rotation' | 'nodes'>): TokenRotationStatus | null {
  if (rotation === null || rotation.phase === null) return null;
  const { phase, phaseSinceMs, reason } = rotation;
  const waiting = nodes.filter(({ hasFollowed }) => !hasFollowed).map(({ nodeId }) => nodeId);
  return { phase, since: new Date(phaseSinceMs).toISOString(), reason, waiting_for: waiting };
}

/** Of a thousand replicas each is looked at once, not once for each deployment. */
function deploymentsOf({ nodes, rollouts, states }: ClusterFacts): readonly DeploymentStatus[] {
  const stateOf = new Map(states.map((state) => [state.deployment, state]));
  const replicas = new Map<string, ReplicaDetail[]>();
  const lost = new Map<string, LostRequest[]>();
  for (const node of nodes) {
    for (const { deployment, detail } of replicasOn(node)) listIn(replicas, deployment).push(detail);
    for (const casualty of node.casualties)
      listIn(lost, casualty.deployment).push(lostRequest(casualty, node.record.nodeId));
  }
  return rollouts.map((rollout) =>
    deploymentStatus(rollout, {
      state: stateOf.get(rollout.deployment),
      replicas: replicas.get(rollout.deployment) ?? [],
      lost: lost.get(rollout.deployment) ?? [],
    }),
  );
}

function listIn<Item>(lists: Map<string, Item[]>, key: string): Item[] {
  const known = lists.get(key);
  if (known !== undefined) return known;
  const list: Item[] = [];
  lists.set(key, list);
  return list;
}

function nodeStatus({ record, alive, reported }: NodeFacts): NodeStatus {
  return {
    id: record.nodeId,
    role: record.role,
    hostname: record.hostname,
    address: record.host,
    http: httpAddress(record),
    alive,
    draining: record.draining,
    cpus: record.capacity.cpuMilli / 1000,
    gpus: record.capacity.gpus.map((gpu): GpuStatus => {
      const { memoryBytes: _, ...shown } = gpu;
      return { ...shown, free: (1000 - heldMilli(reported, gpu.uuid)) / 1000 };
    }),
  };
}

/** What replicas hold of a GPU now: from admission until their exit is reaped, draining ones included. */
function heldMilli(reported: readonly ReplicaStatus[], uuid: string): number {
  return reported
    .filter((status) => status.admitted)
    .flatMap((status) => status.assignment.slices)
    .filter((slice) => slice.uuid === uuid)
    .reduce((sum, slice) => sum + slice.milli, 0);
}

interface DeploymentFacts {
  readonly state: DeploymentState | undefined;
  readonly replicas: readonly ReplicaDetail[];
  readonly lost: readonly LostRequest[];
}

function deploymentStatus(rollout: Rollout, { state, replicas, lost }: DeploymentFacts): DeploymentStatus {
  const shown = rollout.wanted ?? rollout.lastGood;
  const serving = replicas.filter((replica) => replica.phase === 'ready').map((replica) => replica.revision);
  // Without a state the leader has not decided on it yet: a first moment after an apply, or after the head's start.
  return {
    name: rollout.deployment,
    route: shown === null ? '' : `/${shown.spec.route}`,
    methods: shown?.spec.methods ?? [],
    status: state?.health ?? 'UPDATING',
    revision: rollout.wanted?.revision ?? null,
    serving_revision: serving.length === 0 ? null : Math.min(...serving),
    target: state?.target ?? shown?.spec.replicas ?? 0,
    ready: state?.ready ?? serving.length,
    message: state?.message ?? '',
    error: rollout.failure === null ? null : rollout.failure.traceback || rollout.failure.message,
    replicas,
    lost_requests: [...lost].sort((one, other) => other.at.localeCompare(one.at)),
  };
}

function lostRequest({ requestId, path, deaths, atMs }: Casualty, node: string): LostRequest {
  return { request_id: requestId, path, node, deaths, at: new Date(atMs).toISOString() };
}

/** Of a lost node only what nothing has taken the place of yet: the rest of its last report is history. */
export function replicasOn(
  node: NodeFacts,
): readonly { readonly deployment: string; readonly detail: ReplicaDetail }[] {
  const assigned = new Set(node.assigned.map((assignment) => assignment.replicaId));
  const reported = node.reported.filter(({ assignment }) => node.alive || assigned.has(assignment.replicaId));
  const known = new Set(reported.map((status) => status.assignment.replicaId));
  const waiting = node.assigned.filter(
    ({ desired, replicaId }) => desired === 'run' && !known.has(replicaId),
  );
  return [
    ...reported.map((status) => ({
      deployment: status.assignment.deployment,
      detail: reportedDetail(status, node),
    })),
    ...waiting.map((assignment) => ({
      deployment: assignment.deployment,
      detail: waitingDetail(assignment, node.record.nodeId),
    })),
  ];
}

function reportedDetail(status: ReplicaStatus, { record, alive }: NodeFacts): ReplicaDetail {
  const { assignment } = status;
  return {
    id: assignment.replicaId,
    node: record.nodeId,
    pid: status.pid,
    phase: status.phase,
    since: status.sinceMs === undefined ? null : new Date(status.sinceMs).toISOString(),
    message: alive ? status.message : 'its node is not heard of; this is what it said last',
    revision: assignment.revision,
    gpus: status.admitted
      ? assignment.slices.map((slice) => ({
          index: slice.index,
          uuid: slice.uuid,
          fraction: slice.milli / 1000,
        }))
      : [],
    restarts: status.restarts,
    started_at: status.startedAtMs === null ? null : new Date(status.startedAtMs).toISOString(),
    error: status.failure === null ? null : errorText(status.failure),
  };
}

/** All that is known of a failure: a traceback says it itself, other output does not say what happened. */
function errorText({ message, traceback }: ReplicaFailure): string {
  return traceback.includes(message) ? traceback : `${message}\n${traceback}`.trimEnd();
}

function waitingDetail(assignment: ReplicaAssignment, node: string): ReplicaDetail {
  return {
    id: assignment.replicaId,
    node,
    pid: null,
    phase: 'pending',
    since: null,
    message: 'its node has not answered yet',
    revision: assignment.revision,
    gpus: [],
    restarts: 0,
    started_at: null,
    error: null,
  };
}
