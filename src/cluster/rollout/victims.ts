import type { Member } from './view.ts';

/**
 * Which replicas go first when there are too many: those that do not serve, then those on nodes that leave, then
 * those on nodes with the most of them, then the newest. The same input gives the same answer.
 */
export function victims(members: readonly Member[], count: number): readonly Member[] {
  const left = new Set(members);
  const chosen: Member[] = [];
  while (chosen.length < count && left.size > 0) {
    const perNode = countPerNode(left);
    const next = [...left].sort((one, other) => earlierVictim(one, other, perNode))[0];
    if (next === undefined) break;
    left.delete(next);
    chosen.push(next);
  }
  return chosen;
}

function countPerNode(members: Iterable<Member>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { node } of members) counts.set(node.nodeId, (counts.get(node.nodeId) ?? 0) + 1);
  return counts;
}

function earlierVictim(one: Member, other: Member, perNode: ReadonlyMap<string, number>): number {
  return (
    worth(one) - worth(other) ||
    Number(other.node.draining) - Number(one.node.draining) ||
    (perNode.get(other.node.nodeId) ?? 0) - (perNode.get(one.node.nodeId) ?? 0) ||
    startedAt(other) - startedAt(one) ||
    (one.assignment.replicaId < other.assignment.replicaId ? -1 : 1)
  );
}

/** A replica of which nothing is known may serve: it ranks between one that does not and one that does. */
function worth({ status, node }: Member): number {
  if (status === null) return node.alive && node.report !== null ? 0 : 1;
  if (status.phase !== 'ready') return 0;
  return status.stable ? 3 : 2;
}

function startedAt(member: Member): number {
  return member.status?.startedAtMs ?? Number.MAX_SAFE_INTEGER;
}
