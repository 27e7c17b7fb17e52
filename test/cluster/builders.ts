import type {
  Claim,
  Gpu,
  GpuSlice,
  PlaceableNode,
  PlacementRequest,
} from '../../src/cluster/placement/types.ts';
import type { PinnedSpec, SpecHashes } from '../../src/cluster/spec/types.ts';
import { SPEC } from '../support/spec.ts';

export const GIB = 1024 ** 3;

export function gpu(nodeId: string, index: number, over: Partial<Gpu> = {}): Gpu {
  return {
    index,
    uuid: `GPU-${nodeId}-${index}`,
    name: 'test',
    memoryBytes: 8 * GIB,
    virtual: true,
    usable: true,
    reason: null,
    ...over,
  };
}

export function placeableNode(
  nodeId: string,
  over: { gpus?: number; cpus?: number; memoryBytes?: number; claims?: Claim[]; closed?: string } = {},
): PlaceableNode {
  return {
    nodeId,
    capacity: {
      cpuMilli: (over.cpus ?? 4) * 1000,
      memoryBytes: over.memoryBytes ?? 16 * GIB,
      gpus: Array.from({ length: over.gpus ?? 0 }, (_, index) => gpu(nodeId, index)),
    },
    claims: over.claims ?? [],
    closed: over.closed ?? null,
  };
}

export function slice(nodeId: string, index: number, milli: number): GpuSlice {
  return { uuid: `GPU-${nodeId}-${index}`, index, milli };
}

export function claim(replicaId: string, over: Partial<Claim> = {}): Claim {
  return { replicaId, deployment: 'Other', cpuMilli: 0, memoryBytes: 0, slices: [], ...over };
}

export function request(replicaId: string, over: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    replicaId,
    deployment: 'Echo',
    cpuMilli: 100,
    memoryBytes: 0,
    gpuMilli: 0,
    mayExceedCpu: false,
    ...over,
  };
}

export type SpecOver = Partial<Omit<PinnedSpec, 'hashes'>> & { readonly hashes?: Partial<SpecHashes> };

/** A spec whose `scale` hash follows its replicas; the other hashes are what the test says. */
export function pinnedSpec(over: SpecOver = {}): PinnedSpec {
  const { hashes, ...fields } = over;
  const name = fields.name ?? 'Echo';
  return {
    ...SPEC,
    ...{ name, backend: 'algo_backend', route: name.toLowerCase(), models: [] },
    package: { hash: 'p', snapshotDir: '/snapshots/p' },
    modelPins: [],
    modelRoot: '/project/Model_ZOO',
    projectDir: '/project',
    ...fields,
    hashes: {
      routing: 'routing-1',
      scale: `scale-${fields.replicas ?? 1}`,
      reconfigure: 'config-1',
      replace: 'replace-1',
      ...hashes,
    },
  };
}
