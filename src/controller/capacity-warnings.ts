import { reasonsText } from '../cluster/placement/reasons.ts';
import { shortages } from '../cluster/placement/room.ts';
import type { Finding } from '../config/finding.ts';
import type { RevisionDraft } from './draft.ts';
import type { Leader } from './leader.ts';

/** What of a draft no node can hold now, as warnings: it stays PENDING, and starts when there is room. */
export function capacityWarnings(
  draft: RevisionDraft,
  leader: Pick<Leader, 'view' | 'isAlive'>,
): readonly Finding[] {
  const nodes = [...leader.view.nodes.values()]
    .filter(({ record }) => leader.isAlive(record.nodeId) && !record.draining)
    .map(({ record }) => ({ nodeId: record.nodeId, capacity: record.capacity, closed: null }));
  return shortages(draft.deployments, nodes).map(({ deployment, wanted, placed, reasons }) => ({
    file: draft.confPath,
    line: null,
    section: `algopkg.${deployment}`,
    key: null,
    expected: wanted === 1 ? 'room for 1 replica' : `room for ${wanted} replicas`,
    found: placed === 0 ? 'none now' : `room for ${placed} now`,
    hint: `the rest stays PENDING until a node has room: ${reasonsText(reasons)}`,
  }));
}
