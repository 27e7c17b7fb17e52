import { replicaGpuUses } from '../../cluster/metrics/replica-gpus.ts';
import type { NodeSample } from '../../cluster/metrics/samples.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import type { Exposition, Sample } from './exposition.ts';

export interface GpuFacts {
  readonly status: StatusDocument;
  /** as nodes answered last */
  readonly nodes: readonly NodeSample[];
}

/** GPUs, and what each replica uses of them. */
export function addGpus(exposition: Exposition, facts: GpuFacts): void {
  addShares(exposition, facts.status);
  addUses(exposition, facts.nodes);
  addReplicaGpus(exposition, facts);
}

function addShares(exposition: Exposition, { nodes }: StatusDocument): void {
  const shown = nodes.flatMap(({ id, gpus }) =>
    gpus.map((gpu) => ({ ...gpu, labels: { node: id, gpu: String(gpu.index) } })),
  );
  exposition.gauge(
    'modelserve_gpu_held',
    'The share of a GPU that replicas hold, 0 to 1.',
    shown.map(({ labels, free }) => [labels, 1 - free]),
  );
  exposition.gauge(
    'modelserve_gpu_usable',
    '1 where a GPU can be used.',
    shown.map(({ labels, usable }) => [labels, Number(usable)]),
  );
}

function addUses(exposition: Exposition, nodes: readonly NodeSample[]): void {
  const measured = nodes.flatMap(({ nodeId, gpus }) =>
    gpus.map((gpu) => ({ ...gpu, labels: { node: nodeId, gpu: String(gpu.index) } })),
  );
  exposition.gauge(
    'modelserve_gpu_busy',
    'How busy the driver says a GPU is, 0 to 1.',
    measured.flatMap(({ labels, busy }) => known(labels, busy)),
  );
  exposition.gauge(
    'modelserve_gpu_memory_used_bytes',
    'Memory of a GPU in use, by all programs.',
    measured.flatMap(({ labels, memoryUsedBytes }) => known(labels, memoryUsedBytes)),
  );
  exposition.gauge(
    'modelserve_gpu_memory_bytes',
    'Memory of a GPU.',
    measured.map(({ labels, memoryTotalBytes }) => [labels, memoryTotalBytes]),
  );
}

/** As many as hold GPUs now: each leaves with its replica. */
function addReplicaGpus(exposition: Exposition, { status, nodes }: GpuFacts): void {
  const uses = replicaGpuUses(nodes, status).map(({ node, index, deployment, replicaId, ...use }) => ({
    ...use,
    labels: { node, gpu: String(index), deployment, replica: replicaId },
  }));
  exposition.gauge(
    'modelserve_replica_gpu_busy',
    'The share of the last second in which kernels of a replica ran on a GPU, 0 to 1.',
    uses.flatMap(({ labels, busy }) => known(labels, busy)),
  );
  exposition.gauge(
    'modelserve_replica_gpu_memory_used_bytes',
    'Memory of a GPU that all processes of a replica use.',
    uses.flatMap(({ labels, memoryUsedBytes }) => known(labels, memoryUsedBytes)),
  );
  exposition.gauge(
    'modelserve_replica_gpu_memory_share_bytes',
    'What a replica’s share of a GPU comes to in memory.',
    uses.map(({ labels, memoryShareBytes }) => [labels, memoryShareBytes]),
  );
}

/** What the driver does not say is left out. */
function known(labels: Sample[0], value: number | null): readonly Sample[] {
  return value === null ? [] : [[labels, value]];
}
