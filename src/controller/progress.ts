import type { ReplicaStatus } from '../cluster/replicas/types.ts';
import type { DeploymentState, Rollout } from '../cluster/rollout/types.ts';
import type { DeploymentProgress, PreparationProgress, Progress } from '../cluster/status/types.ts';
import type { IngressEntry } from '../store/types.ts';

export interface ProgressFacts {
  readonly asked: { readonly revision: number; readonly deployments: readonly string[] };
  readonly newestRevision: number;
  /** rollouts and states as they were when `table` was made of them */
  readonly rollouts: readonly Rollout[];
  readonly states: readonly DeploymentState[];
  readonly reported: readonly ReplicaStatus[];
  /** node of each reported replica */
  readonly nodeOf: ReadonlyMap<string, string>;
  readonly nowMs: number;
  /** every live node's id, with what its ingress serves by (null: not heard of yet) */
  readonly ingresses: readonly { readonly nodeId: string; readonly entry: IngressEntry | null }[];
  /** what ingresses must serve; null before the first table */
  readonly table: { readonly incarnation: string; readonly version: number } | null;
  /** the newest revision is the one that rollouts and states speak of */
  readonly decided: boolean;
}

/** How far a revision is, seen from whoever applied it. */
export function progressOf(facts: ProgressFacts): Progress {
  const deployments = facts.asked.deployments.map((name) => deploymentProgress(name, facts));
  const waitingFor = facts.ingresses
    .filter(({ entry }) => !servesTable(entry, facts.table))
    .map(({ nodeId }) => nodeId);
  const ended = facts.decided && deployments.every((one) => one.settled || one.failed);
  return {
    revision: facts.asked.revision,
    supersededBy: facts.newestRevision > facts.asked.revision ? facts.newestRevision : null,
    done: ended && waitingFor.length === 0,
    deployments,
    waitingFor,
  };
}

function servesTable(entry: IngressEntry | null, table: ProgressFacts['table']): boolean {
  if (table === null || entry === null) return false;
  return entry.incarnation === table.incarnation && entry.routingVersion >= table.version;
}

function deploymentProgress(name: string, facts: ProgressFacts): DeploymentProgress {
  const rollout = facts.rollouts.find((candidate) => candidate.deployment === name);
  const state = facts.states.find((candidate) => candidate.deployment === name);
  const replicas = facts.reported.filter((status) => status.assignment.deployment === name);
  const lines = replicas.map((status) =>
    `${status.assignment.replicaId} ${status.phase} ${status.message}`.trimEnd(),
  );
  const preparing = preparationsOf(replicas, facts);
  if (!facts.decided) return { ...unknown(name, 'UPDATING', lines), preparing };
  if (rollout === undefined) return { ...unknown(name, 'GONE', lines), settled: true };
  const { failure } = rollout;
  return {
    name,
    status: state?.health ?? 'UPDATING',
    settled: failure === null && (state?.settled ?? false),
    failed: failure !== null,
    target: state?.target ?? rollout.wanted?.spec.replicas ?? 0,
    ready: state?.ready ?? replicas.filter(({ phase }) => phase === 'ready').length,
    message: failure?.message ?? state?.message ?? '',
    error: failure === null ? null : failure.traceback || failure.message,
    moving: replicas.some(isMoving),
    replicas: lines,
    preparing,
  };
}

/** What each node prepares, by its replica that has been at it longest: others wait for the same. */
function preparationsOf(
  replicas: readonly ReplicaStatus[],
  { nodeOf, nowMs }: ProgressFacts,
): readonly PreparationProgress[] {
  const first = new Map<string, PreparationProgress>();
  for (const { assignment, phase, message, sinceMs = nowMs } of replicas) {
    const node = nodeOf.get(assignment.replicaId);
    if (phase !== 'preparing' || node === undefined) continue;
    const forMs = Math.max(0, nowMs - sinceMs);
    if (forMs >= (first.get(node)?.forMs ?? 0)) first.set(node, { node, line: message, forMs });
  }
  return [...first.values()];
}

function unknown(
  name: string,
  status: DeploymentProgress['status'],
  replicas: readonly string[],
): DeploymentProgress {
  return {
    ...{ name, status, replicas },
    ...{ settled: false, failed: false, moving: false },
    ...{ target: 0, ready: 0, message: '', error: null, preparing: [] },
  };
}

function isMoving(status: ReplicaStatus): boolean {
  switch (status.phase) {
    case 'preparing':
    case 'starting':
    case 'draining':
      return true;
    case 'ready':
      return !status.stable;
    default:
      return false;
  }
}
