import type { StatusDocument } from '../status/types.ts';
import type { NodeSample, ReplicaGpuSample } from './samples.ts';

/** What a replica uses of a GPU, and what its share of it comes to. */
export interface ReplicaGpuUse extends ReplicaGpuSample {
  readonly node: string;
  /** its share of the GPU's memory */
  readonly memoryShareBytes: number;
}

/**
 * What replicas use of GPUs, as their nodes answered last. What a lost node said, and of a replica that is gone, is history.
 */
export function replicaGpuUses(
  samples: readonly NodeSample[],
  { nodes, deployments }: Pick<StatusDocument, 'nodes' | 'deployments'>,
): readonly ReplicaGpuUse[] {
  const alive = new Set(nodes.filter((node) => node.alive).map(({ id }) => id));
  const there = new Set(deployments.flatMap(({ replicas }) => replicas.map(({ id }) => id)));
  return samples
    .filter(({ nodeId }) => alive.has(nodeId))
    .flatMap(({ nodeId, gpus, replicaGpus = [] }) =>
      replicaGpus
        .filter(({ replicaId }) => there.has(replicaId))
        .map((one) => {
          const totalBytes = gpus.find(({ uuid }) => uuid === one.uuid)?.memoryTotalBytes ?? 0;
          return { node: nodeId, ...one, memoryShareBytes: Math.floor(one.share * totalBytes) };
        }),
    );
}
