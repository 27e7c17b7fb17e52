import type { Gpu, GpuSlice } from './types.ts';

/** What decides which node a GPU belongs to. */
export interface GpuHost {
  readonly nodeId: string;
  readonly alive: boolean;
  readonly capacity: { readonly gpus: readonly Gpu[] };
  readonly assigned: readonly { readonly slices: readonly GpuSlice[] }[];
}

/**
 * Which node each GPU belongs to, by UUID: two agents on one machine may report the same card, and each alone would
 * give it out in full. The one that lives and has replicas on it has it, else the first by name.
 */
export function gpuOwners(hosts: readonly GpuHost[]): ReadonlyMap<string, string> {
  const owners = new Map<string, { readonly nodeId: string; readonly rank: number }>();
  for (const host of [...hosts].sort((left, right) => (left.nodeId < right.nodeId ? -1 : 1))) {
    const used = new Set(host.assigned.flatMap(({ slices }) => slices.map((slice) => slice.uuid)));
    for (const { uuid } of host.capacity.gpus) {
      const rank = Number(host.alive) * 2 + Number(used.has(uuid));
      const owner = owners.get(uuid);
      if (owner === undefined || rank > owner.rank) owners.set(uuid, { nodeId: host.nodeId, rank });
    }
  }
  return new Map([...owners].map(([uuid, { nodeId }]) => [uuid, nodeId]));
}

/** The GPUs of a node, with those that belong to another one marked as unusable. */
export function ownGpus(host: GpuHost, owners: ReadonlyMap<string, string>): readonly Gpu[] {
  return host.capacity.gpus.map((gpu) => {
    const owner = owners.get(gpu.uuid);
    if (owner === host.nodeId || owner === undefined) return gpu;
    return { ...gpu, usable: false, reason: `it is the same card as one of node ${owner}` };
  });
}
