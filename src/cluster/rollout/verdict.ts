import type { ReplicaStatus } from '../replicas/types.ts';
import { type Group, wantedReplicas } from './group.ts';
import { carries, hasConfig, isProven } from './specs.ts';
import type { RevisedSpec, Rollout, RolloutFailure } from './types.ts';
import type { Member, View } from './view.ts';

/** Failed starts of all its replicas together after which a change is given up. */
const FAILED_STARTS_ALLOWED = 3;

/** Kinds that get no better by repeating. */
const FINAL_KINDS: readonly string[] = ['prepare', 'startup-timeout', 'early-crash'];

/**
 * The rollout with its failure, if its wanted spec has failed now; the same object otherwise. A spec that has been good
 * before is never given up: its agent starts it again.
 */
export function judgeFailure(rollout: Rollout, view: View, nowMs: number): Rollout {
  const { wanted } = rollout;
  if (wanted === null || rollout.failure !== null || isProven(rollout)) return rollout;
  const failure = failureOf(wanted, statusesOf(wanted, rollout.deployment, view), nowMs);
  if (failure === null) return rollout;
  return { ...rollout, failure, lastGood: rollout.lastGood ?? answeringSpec(rollout, wanted, view) };
}

/**
 * The newest other spec whose replicas answer, or null. A first spec that was superseded before it had proved itself is
 * what clients have: it is better than nothing when its successor fails.
 */
function answeringSpec({ deployment }: Rollout, failed: RevisedSpec, view: View): RevisedSpec | null {
  const [newest] = view.members
    .filter(({ assignment, status }) => {
      const answers = status?.phase === 'ready' || status?.phase === 'suspect';
      const other = assignment.spec.hashes.replace !== failed.spec.hashes.replace;
      return assignment.deployment === deployment && assignment.desired === 'run' && answers && other;
    })
    .map(({ assignment }) => assignment)
    .sort((left, right) => right.revision - left.revision);
  return newest === undefined ? null : { revision: newest.revision, spec: newest.spec };
}

/**
 * Whether the wanted spec is good now: every replica of it runs, has been ready for long enough with its user_config
 * in force, and nothing of what was before is left.
 * @param allPlaced false: some replicas find no room; those that did are enough, as long as there is one
 */
export function isGood(group: Group, allPlaced: boolean): boolean {
  const { rollout, target } = group;
  if (target === null || rollout.failure !== null) return false;
  if (group.old.length + group.discarded.length + group.leaving.length > 0) return false;
  const running = [...group.current, ...group.departing];
  const wanted = wantedReplicas(group);
  const enough = allPlaced ? wanted : Math.min(wanted, 1);
  return running.length >= enough && running.length <= wanted && running.every(isInForce(target));
}

function isInForce(target: RevisedSpec): (member: Member) => boolean {
  return ({ status }) =>
    status?.stable === true &&
    carries(status.assignment, target) &&
    hasConfig(status, target.spec.hashes.reconfigure);
}

/** What agents say of the replicas of a wanted spec. One of an earlier try of the same spec has another revision. */
function statusesOf(wanted: RevisedSpec, deployment: string, view: View): readonly ReplicaStatus[] {
  return view.members
    .filter(({ assignment }) => assignment.deployment === deployment && assignment.desired === 'run')
    .flatMap(({ status }) => (status === null ? [] : [status]))
    .filter(
      ({ assignment }) =>
        assignment.revision === wanted.revision &&
        assignment.spec.hashes.replace === wanted.spec.hashes.replace,
    );
}

function failureOf(
  wanted: RevisedSpec,
  statuses: readonly ReplicaStatus[],
  nowMs: number,
): RolloutFailure | null {
  const failed = statuses.filter(isFailing).sort((left, right) => failedAt(right) - failedAt(left));
  const starts = failed.reduce((sum, status) => sum + status.startFailures, 0);
  const culprit =
    failed.find((status) => FINAL_KINDS.includes(status.failure?.kind ?? '')) ??
    (starts >= FAILED_STARTS_ALLOWED ? failed[0] : undefined);
  if (culprit?.failure) {
    const { message, traceback, atMs } = culprit.failure;
    return { revision: wanted.revision, message: told(culprit, message), traceback, atMs };
  }
  return reconfigureFailure(wanted, statuses, nowMs);
}

/** The last failure stays in a status for people to read; it counts until the replica has proved itself. */
function isFailing(status: ReplicaStatus): boolean {
  if (status.failure === null || status.stable) return false;
  return status.startFailures > 0 || (status.failure.kind === 'prepare' && !status.prepared);
}

function reconfigureFailure(
  wanted: RevisedSpec,
  statuses: readonly ReplicaStatus[],
  nowMs: number,
): RolloutFailure | null {
  for (const status of statuses) {
    const { reconfigured } = status;
    if (reconfigured?.outcome !== 'failed' || reconfigured.hash !== wanted.spec.hashes.reconfigure) continue;
    const message = told(status, `reconfigure failed: ${gistOf(reconfigured.error)}`);
    return { revision: wanted.revision, message, traceback: reconfigured.error, atMs: nowMs };
  }
  return null;
}

/** The line that names the error: the last one of a Python traceback, the first one of a JavaScript stack. */
function gistOf(error: string): string {
  const lines = error.trimEnd().split('\n');
  return (error.startsWith('Traceback') ? lines.at(-1) : lines[0]) ?? '';
}

function told(status: ReplicaStatus, message: string): string {
  return `replica ${status.assignment.replicaId}: ${message}`;
}

function failedAt(status: ReplicaStatus): number {
  return status.failure?.atMs ?? 0;
}
