import { type ReplicaGpuUse, replicaGpuUses } from '../../cluster/metrics/replica-gpus.ts';
import type { GpuSample, NodeSample } from '../../cluster/metrics/samples.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import type { GpuDetail, ReplicaGpu } from '../types.ts';

/**
 * Every GPU with the replicas that hold a share of it or use it, and with what its node measured.
 * @param samples as nodes answered last
 */
export function gpuDetails(status: StatusDocument, samples: readonly NodeSample[]): readonly GpuDetail[] {
  const uses = groupedBy(replicaGpuUses(samples, status), keyOf);
  const holders = groupedBy(holdersIn(status), keyOf);
  const measured = new Map(
    samples.flatMap(({ nodeId, gpus }) => gpus.map((gpu) => [keyOf({ node: nodeId, ...gpu }), gpu])),
  );
  return status.nodes.flatMap(({ id: node, gpus }) =>
    gpus.map((gpu) => {
      const key = keyOf({ node, ...gpu });
      const sample = measured.get(key);
      const replicas = replicasOn(holders.get(key) ?? [], uses.get(key) ?? [], sample);
      return {
        ...{ node, ...gpu, replicas },
        memory_bytes: sample?.memoryTotalBytes ?? null,
        memory_used_bytes: sample?.memoryUsedBytes ?? null,
        busy: sample?.busy ?? null,
      };
    }),
  );
}

interface Holder {
  readonly node: string;
  readonly uuid: string;
  readonly replica: string;
  readonly deployment: string;
  readonly fraction: number;
}

function holdersIn({ deployments }: StatusDocument): readonly Holder[] {
  return deployments.flatMap(({ name: deployment, replicas }) =>
    replicas.flatMap(({ id: replica, node, gpus }) =>
      gpus.map(({ uuid, fraction }) => ({ node, uuid, replica, deployment, fraction })),
    ),
  );
}

function keyOf({ node, uuid }: { readonly node: string; readonly uuid: string }): string {
  return `${node} ${uuid}`;
}

/** The status knows at once who holds what; the sample, later, who uses it. */
function replicasOn(
  holders: readonly Holder[],
  uses: readonly ReplicaGpuUse[],
  sample: GpuSample | undefined,
): readonly ReplicaGpu[] {
  const holding = holders.map(({ replica, deployment, fraction }) => ({
    ...{ replica, deployment, fraction },
    memory_share_bytes: sample === undefined ? null : Math.floor(fraction * sample.memoryTotalBytes),
    ...usedBy(uses.find(({ replicaId }) => replicaId === replica)),
  }));
  const others = uses.filter(
    ({ replicaId, memoryUsedBytes, busy }) =>
      (memoryUsedBytes !== null || busy !== null) && holders.every(({ replica }) => replica !== replicaId),
  );
  return [
    ...holding,
    ...others.map((use) => ({
      ...{ replica: use.replicaId, deployment: use.deployment, fraction: 0, memory_share_bytes: 0 },
      ...usedBy(use),
    })),
  ];
}

function usedBy(use: ReplicaGpuUse | undefined): Pick<ReplicaGpu, 'memory_used_bytes' | 'busy'> {
  return { memory_used_bytes: use?.memoryUsedBytes ?? null, busy: use?.busy ?? null };
}

function groupedBy<Item>(items: readonly Item[], keyOfItem: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOfItem(item);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [item]);
    else known.push(item);
  }
  return groups;
}
