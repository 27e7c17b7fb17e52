import type { Claim, GpuSlice, PlaceableNode } from './types.ts';

/**
 * What is left of a node while placements are being made. Free amounts may be negative, since claims overlap when a
 * replacement was promised the slot of a replica that is still leaving: nothing fits there then.
 */
export interface Ledger {
  readonly node: PlaceableNode;
  cpuFreeMilli: number;
  memoryFreeBytes: number;
  readonly gpuFreeMilli: Map<string, number>;
  readonly replicasOf: Map<string, number>;
  replicas: number;
}

/** Opens the books of a node with its claims already written off. */
export function openLedger(node: PlaceableNode): Ledger {
  const ledger: Ledger = {
    node,
    cpuFreeMilli: node.capacity.cpuMilli,
    memoryFreeBytes: node.capacity.memoryBytes,
    gpuFreeMilli: new Map(node.capacity.gpus.map((gpu) => [gpu.uuid, 1000])),
    replicasOf: new Map(),
    replicas: 0,
  };
  for (const claim of node.claims) writeOff(ledger, claim);
  return ledger;
}

/** Takes a claim out of what is free; slices of GPUs that the node no longer lists count for nothing. */
export function writeOff(ledger: Ledger, claim: Omit<Claim, 'replicaId'>): void {
  ledger.cpuFreeMilli -= claim.cpuMilli;
  ledger.memoryFreeBytes -= claim.memoryBytes;
  ledger.replicas += 1;
  ledger.replicasOf.set(claim.deployment, (ledger.replicasOf.get(claim.deployment) ?? 0) + 1);
  for (const slice of claim.slices) writeOffSlice(ledger.gpuFreeMilli, slice);
}

function writeOffSlice(gpuFreeMilli: Map<string, number>, slice: GpuSlice): void {
  const freeMilli = gpuFreeMilli.get(slice.uuid);
  if (freeMilli !== undefined) gpuFreeMilli.set(slice.uuid, freeMilli - slice.milli);
}
