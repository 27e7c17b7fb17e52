/** A GPU as its node reports it. */
export interface Gpu {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  readonly memoryBytes: number;
  /** declared with --num-gpus, not found by the driver */
  readonly virtual: boolean;
  readonly usable: boolean;
  /** why it is not usable, else null */
  readonly reason: string | null;
}

/** A share of one GPU that a replica holds. */
export interface GpuSlice {
  readonly uuid: string;
  readonly index: number;
  readonly milli: number;
}

export interface NodeCapacity {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly gpus: readonly Gpu[];
}

/** What is already promised on a node, running or about to. */
export interface Claim {
  readonly replicaId: string;
  readonly deployment: string;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly slices: readonly GpuSlice[];
}

export interface PlaceableNode {
  readonly nodeId: string;
  readonly capacity: NodeCapacity;
  readonly claims: readonly Claim[];
  /** why nothing new goes there (`it is draining`), else null */
  readonly closed: string | null;
}

export interface PlacementRequest {
  readonly replicaId: string;
  readonly deployment: string;
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  /** below 1000: a share of one GPU; from 1000 up: a multiple of 1000, whole GPUs */
  readonly gpuMilli: number;
  /** a replacement beside the replica it replaces may exceed the CPUs meanwhile */
  readonly mayExceedCpu: boolean;
}

export interface Placement {
  readonly replicaId: string;
  readonly nodeId: string;
  readonly slices: readonly GpuSlice[];
}

export interface Unplaced {
  readonly request: PlacementRequest;
  /** per node (and GPU) why it does not fit, each a sentence a user can act on */
  readonly reasons: readonly string[];
}

export interface PlacementResult {
  readonly placements: readonly Placement[];
  readonly unplaced: readonly Unplaced[];
}
