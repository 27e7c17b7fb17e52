import { type Fitting, fitOnNode } from './fit.ts';
import { type Ledger, openLedger, writeOff } from './ledger.ts';
import type { PlaceableNode, Placement, PlacementRequest, PlacementResult, Unplaced } from './types.ts';

/**
 * Finds a node, and GPU shares on it, for each request: larger requests first (GPU, then memory, then CPU), best fit on
 * a GPU, ties to the node with fewest replicas of that deployment, then fewest replicas, then by name. The same input
 * gives the same answer. What does not fit comes back with the reasons of every node.
 */
export function place(
  requests: readonly PlacementRequest[],
  nodes: readonly PlaceableNode[],
): PlacementResult {
  const ledgers = nodes.map(openLedger);
  const placements: Placement[] = [];
  const unplaced: Unplaced[] = [];
  for (const request of [...requests].sort(largerFirst)) {
    const found = bestNode(request, ledgers);
    if (!('fitting' in found)) {
      unplaced.push({ request, reasons: found.reasons });
      continue;
    }
    const { slices } = found.fitting;
    writeOff(found.ledger, { ...request, slices });
    placements.push({ replicaId: request.replicaId, nodeId: found.ledger.node.nodeId, slices });
  }
  return { placements, unplaced };
}

interface Candidate {
  readonly ledger: Ledger;
  readonly fitting: Fitting;
}

function bestNode(
  request: PlacementRequest,
  ledgers: readonly Ledger[],
): Candidate | { readonly reasons: readonly string[] } {
  const candidates: Candidate[] = [];
  const reasons: string[] = [];
  for (const ledger of ledgers) {
    const fitting = fitOnNode(request, ledger);
    if (fitting.fits) candidates.push({ ledger, fitting });
    else reasons.push(...fitting.reasons);
  }
  const best = candidates.sort((left, right) => tighterFirst(left, right, request.deployment))[0];
  return best ?? { reasons: ledgers.length > 0 ? reasons : ['no node is in the cluster'] };
}

function tighterFirst(left: Candidate, right: Candidate, deployment: string): number {
  return (
    left.fitting.gpuLeftMilli - right.fitting.gpuLeftMilli ||
    (left.ledger.replicasOf.get(deployment) ?? 0) - (right.ledger.replicasOf.get(deployment) ?? 0) ||
    left.ledger.replicas - right.ledger.replicas ||
    (left.ledger.node.nodeId < right.ledger.node.nodeId ? -1 : 1)
  );
}

function largerFirst(left: PlacementRequest, right: PlacementRequest): number {
  return (
    right.gpuMilli - left.gpuMilli || right.memoryBytes - left.memoryBytes || right.cpuMilli - left.cpuMilli
  );
}
