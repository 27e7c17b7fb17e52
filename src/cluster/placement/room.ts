import { reservedMemoryBytes } from '../spec/memory.ts';
import type { PinnedSpec } from '../spec/types.ts';
import { place } from './place.ts';
import type { PlaceableNode } from './types.ts';

/** A deployment of which not all replicas find room. */
export interface Shortage {
  readonly deployment: string;
  readonly wanted: number;
  readonly placed: number;
  /** why the first one that is left over fits nowhere, per node and GPU */
  readonly reasons: readonly string[];
}

/**
 * What of a whole configuration would find no room if it were placed on these nodes from nothing. That is no mistake:
 * it stays pending, and starts when a node joins.
 */
export function shortages(
  specs: readonly PinnedSpec[],
  nodes: readonly Omit<PlaceableNode, 'claims'>[],
): readonly Shortage[] {
  const requests = specs.flatMap((spec) =>
    Array.from({ length: spec.replicas }, (_, index) => ({
      replicaId: `${spec.name}-${index}`,
      deployment: spec.name,
      cpuMilli: spec.cpuMilli,
      memoryBytes: reservedMemoryBytes(spec),
      gpuMilli: spec.gpuMilli,
      mayExceedCpu: false,
    })),
  );
  const { unplaced } = place(
    requests,
    nodes.map((node) => ({ ...node, claims: [] })),
  );
  return specs.flatMap((spec) => {
    const left = unplaced.filter(({ request }) => request.deployment === spec.name);
    const [first] = left;
    if (first === undefined) return [];
    const placed = spec.replicas - left.length;
    return [{ deployment: spec.name, wanted: spec.replicas, placed, reasons: first.reasons }];
  });
}
