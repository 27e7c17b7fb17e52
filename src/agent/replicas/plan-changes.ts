import type { ReplicaAssignment } from '../../cluster/replicas/types.ts';

/** What this node has of a replica now. */
export interface Present {
  readonly assignment: ReplicaAssignment;
  readonly draining: boolean;
}

/** What an agent does to follow its assignment. */
export interface AgentPlan {
  readonly start: readonly ReplicaAssignment[];
  /** the same process goes on under another spec */
  readonly update: readonly ReplicaAssignment[];
  /** under the same id another process: started when the one there has drained */
  readonly replace: readonly ReplicaAssignment[];
  readonly drain: readonly string[];
}

/**
 * Compares what a node has with what it shall have. Pure; a replica that is not wanted any more drains, and what is
 * draining is not turned back but followed by a new process.
 */
export function planChanges(present: readonly Present[], wanted: readonly ReplicaAssignment[]): AgentPlan {
  const existing = new Map(present.map((replica) => [replica.assignment.replicaId, replica]));
  const running = wanted.filter(({ desired }) => desired === 'run');
  const kept = new Set(running.map(({ replicaId }) => replicaId));
  const needs = (effect: Need): readonly ReplicaAssignment[] =>
    running.filter((assignment) => needOf(existing.get(assignment.replicaId), assignment) === effect);
  return {
    start: needs('start'),
    update: needs('update'),
    replace: needs('replace'),
    drain: present
      .filter(({ assignment, draining }) => !draining && !kept.has(assignment.replicaId))
      .map(({ assignment }) => assignment.replicaId),
  };
}

type Need = 'start' | 'update' | 'replace' | 'nothing';

function needOf(replica: Present | undefined, assignment: ReplicaAssignment): Need {
  if (replica === undefined) return 'start';
  if (replica.draining || !isSameProcess(replica.assignment, assignment)) return 'replace';
  return isSame(replica.assignment, assignment) ? 'nothing' : 'update';
}

function isSameProcess(left: ReplicaAssignment, right: ReplicaAssignment): boolean {
  return (
    left.spec.hashes.replace === right.spec.hashes.replace &&
    JSON.stringify(left.slices) === JSON.stringify(right.slices)
  );
}

/** Every key of a spec is in one of its hashes. */
function isSame(left: ReplicaAssignment, right: ReplicaAssignment): boolean {
  return (
    left.revision === right.revision && JSON.stringify(left.spec.hashes) === JSON.stringify(right.spec.hashes)
  );
}
