import type { ReplicaDetail, StatusDocument } from '../../cluster/status/types.ts';

/** A replica with the name of its deployment. */
export interface PlacedReplica extends ReplicaDetail {
  readonly deployment: string;
}

/** Every replica of the cluster, looked at once, by the id of its node. */
export function replicasByNode({
  deployments,
}: StatusDocument): ReadonlyMap<string, readonly PlacedReplica[]> {
  const found = new Map<string, PlacedReplica[]>();
  for (const { name, replicas } of deployments) {
    for (const replica of replicas) {
      const here = found.get(replica.node) ?? [];
      here.push({ ...replica, deployment: name });
      found.set(replica.node, here);
    }
  }
  return found;
}
