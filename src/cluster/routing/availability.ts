import { reasonsText } from '../placement/reasons.ts';
import type { ReplicaStatus } from '../replicas/types.ts';
import { targetOf } from '../rollout/specs.ts';
import type { DeploymentState, Rollout } from '../rollout/types.ts';
import type { Availability } from './types.ts';

/** Failed starts in a row after which a replica is not expected back soon. */
const CRASH_LOOPING_STARTS = 3;

/** A replica that shall run, with what its node says of it; null: nothing yet. */
export interface RoutedReplica {
  readonly nodeId: string;
  readonly replicaId: string;
  readonly onLostNode: boolean;
  readonly status: ReplicaStatus | null;
}

/**
 * What an ingress does with a request while nothing is ready: hold it where a replica is expected (it was ready before
 * and one is on its way), else answer at once and say why. Messages hold no times, so that a table changes only when
 * the situation does.
 */
export function availabilityOf(
  rollout: Rollout,
  replicas: readonly RoutedReplica[],
  state: DeploymentState | undefined,
): Availability {
  const target = targetOf(rollout);
  if (target === null)
    return { state: 'failed', message: rollout.failure?.message ?? 'its first start failed' };
  const isStranded = replicas.every(({ onLostNode }) => onLostNode) && (state?.unplaced.length ?? 0) > 0;
  if (replicas.length === 0 || isStranded) {
    return { state: 'unplaced', message: whyUnplaced(target.spec.replicas, state) };
  }
  if (replicas.some(({ status }) => status?.phase === 'ready')) return { state: 'expected' };
  if (rollout.lastGood === null) {
    return { state: 'starting', message: 'no replica has been ready yet' };
  }
  const looping = replicas.filter(({ status }) => (status?.startFailures ?? 0) >= CRASH_LOOPING_STARTS);
  if (looping.length < replicas.length) return { state: 'expected' };
  const message = looping[0]?.status?.failure?.message ?? 'its process ends again and again';
  return { state: 'crash-looping', message };
}

function whyUnplaced(wanted: number, state: DeploymentState | undefined): string {
  if (wanted === 0) return 'replicas = 0: none is wanted';
  const reasons = state?.unplaced ?? [];
  return reasons.length === 0 ? 'no replica is assigned to a node yet' : reasonsText(reasons);
}
