import type { ReplicaAssignment, ReplicaStatus } from '../replicas/types.ts';
import type { PinnedSpec } from '../spec/types.ts';
import type { RevisedSpec, Rollout } from './types.ts';

/** What a deployment shall run now: the wanted spec, the last good one after a failure, or nothing (null). */
export function targetOf(rollout: Rollout): RevisedSpec | null {
  return rollout.failure === null ? rollout.wanted : rollout.lastGood;
}

/** Whether two specs are the same in every effect. */
export function sameSpec(left: PinnedSpec, right: PinnedSpec): boolean {
  return (
    left.hashes.replace === right.hashes.replace &&
    left.hashes.reconfigure === right.hashes.reconfigure &&
    left.hashes.scale === right.hashes.scale &&
    left.hashes.routing === right.hashes.routing
  );
}

/** Whether the wanted spec has been good before: what happens to it from then on is no failed change any more. */
export function isProven(rollout: Rollout): boolean {
  const { wanted, lastGood } = rollout;
  return wanted !== null && lastGood !== null && sameSpec(wanted.spec, lastGood.spec);
}

/** Whether an assignment carries exactly this spec, of this revision. */
export function carries(assignment: ReplicaAssignment, target: RevisedSpec): boolean {
  return assignment.revision === target.revision && sameSpec(assignment.spec, target.spec);
}

/** Whether the process runs with the user_config of this hash, be it since its start or changed in place. */
export function hasConfig(status: ReplicaStatus, hash: string): boolean {
  const { reconfigured, startedWith } = status;
  if (reconfigured?.hash === hash && reconfigured.outcome === 'applied') return true;
  return startedWith === hash && (reconfigured === null || reconfigured.outcome === 'unsupported');
}

/**
 * Whether the process did not take the target's user_config in place, so that only a new process will have it.
 * One that was started with it has it, whatever its class says of `reconfigure`.
 */
export function needsRestartForConfig(status: ReplicaStatus, target: RevisedSpec): boolean {
  const hash = target.spec.hashes.reconfigure;
  const { reconfigured, startedWith } = status;
  return reconfigured?.hash === hash && reconfigured.outcome !== 'applied' && startedWith !== hash;
}
