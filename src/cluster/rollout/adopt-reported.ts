import type { NodeReport, ReplicaAssignment } from '../replicas/types.ts';

/**
 * The assignments of a node together with what it runs beyond them: after a lost or older store, or a leader that
 * forgot the node while it was away, its report says what there is. Nothing is started or stopped by this; what is
 * too much is drained by the plan that follows.
 * @returns the same array when there is nothing to adopt
 */
export function adoptReported(
  assigned: readonly ReplicaAssignment[],
  report: NodeReport,
): readonly ReplicaAssignment[] {
  const known = new Set(assigned.map(({ replicaId }) => replicaId));
  const found = report.replicas
    .filter(({ assignment, phase }) => !known.has(assignment.replicaId) && phase !== 'stopped')
    .map(({ assignment }) => assignment);
  return found.length === 0 ? assigned : [...assigned, ...found];
}
