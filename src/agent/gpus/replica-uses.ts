import type { ReplicaGpuSample } from '../../cluster/metrics/samples.ts';
import type { Gpu } from '../../cluster/placement/types.ts';
import type { ReplicaStatus } from '../../cluster/replicas/types.ts';
import type { GpuProcess } from './processes.ts';

/**
 * What each replica has of each GPU, and what its processes use of it, all of its session together. A GPU that it uses
 * without a share of it is there as well. Declared GPUs, which no driver knows, are not.
 */
export function replicaGpuSamples(
  gpus: readonly Gpu[],
  processes: readonly GpuProcess[],
  replicas: readonly ReplicaStatus[],
): readonly ReplicaGpuSample[] {
  return replicas.flatMap(({ assignment, admitted, pid }) => {
    const own = processes.filter(({ sessionId }) => sessionId === pid);
    return gpus
      .filter(({ virtual }) => !virtual)
      .flatMap(({ index, uuid }) => {
        const slice = admitted ? assignment.slices.find((one) => one.uuid === uuid) : undefined;
        const here = own.filter((process) => process.uuid === uuid);
        if (slice === undefined && here.length === 0) return [];
        const { replicaId, deployment } = assignment;
        return [{ replicaId, deployment, index, uuid, share: (slice?.milli ?? 0) / 1000, ...useOf(here) }];
      });
  });
}

/**
 * The memory of processes of which one is not known is not known. Of those that had nothing to do some drivers do not tell
 * how busy they were.
 */
function useOf(processes: readonly GpuProcess[]): Pick<ReplicaGpuSample, 'memoryUsedBytes' | 'busy'> {
  const known = (of: 'memoryUsedBytes' | 'busy'): readonly number[] =>
    processes.map((process) => process[of]).filter((value) => value !== null);
  const memory = known('memoryUsedBytes');
  const busy = known('busy');
  return {
    memoryUsedBytes: memory.length === 0 || memory.length < processes.length ? null : sumOf(memory),
    busy: busy.length === 0 ? null : Math.min(1, sumOf(busy)),
  };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
