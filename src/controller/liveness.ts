import { NODE_LEASE_MS } from '../store/types.ts';
import type { KnownNode } from './cluster-view.ts';

/** How long a missing lease may be the store's doing (emptied, restarted) before agents have renewed it. */
const RENEWAL_GRACE_MS = 3_000;

export interface LivenessFacts {
  readonly nowMs: number;
  /** since when the leader has seen the store without interruption, under one incarnation */
  readonly storeSeenSinceMs: number;
}

/**
 * Whether a node counts as alive. A lapsed lease means "ask again", not "dead", until the leader itself has seen the
 * store without interruption for one lease, and agents had the time to renew it.
 */
export function isAlive(node: KnownNode, facts: LivenessFacts): boolean {
  if (node.unleasedSinceMs === null) return true;
  if (facts.nowMs - facts.storeSeenSinceMs < NODE_LEASE_MS) return true;
  return facts.nowMs - node.unleasedSinceMs < RENEWAL_GRACE_MS;
}
