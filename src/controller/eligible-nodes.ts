import type { EligibleNode } from '../cluster/environments/settle.ts';
import type { NodeCapacity } from '../cluster/placement/types.ts';
import type { DeploymentSpec } from '../cluster/spec/types.ts';
import type { Leader } from './leader.ts';

/** Nodes that replicas of a deployment may be placed on by what they are, whatever runs there now. */
export function eligibleNodes(
  spec: Pick<DeploymentSpec, 'gpuMilli'>,
  leader: Pick<Leader, 'view' | 'isAlive'>,
): readonly EligibleNode[] {
  return [...leader.view.nodes.values()]
    .filter(({ record }) => leader.isAlive(record.nodeId) && !record.draining)
    .filter(({ record }) => hasGpus(record.capacity, spec.gpuMilli))
    .map(({ record }) => ({ nodeId: record.nodeId, software: record.software ?? null }));
}

function hasGpus({ gpus }: NodeCapacity, gpuMilli: number): boolean {
  return gpus.filter(({ usable }) => usable).length * 1000 >= gpuMilli;
}
