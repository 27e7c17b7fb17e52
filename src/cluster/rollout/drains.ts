import { admit } from '../placement/admit.ts';
import type { Draft } from './draft.ts';
import { type Group, inFlight, stableOf, wantedReplicas } from './group.ts';
import { victims } from './victims.ts';
import { claimOf, type Member } from './view.ts';

/** Drains what nothing has to be found for first. */
export function drainNeedless(group: Group, draft: Draft): void {
  const { current, departing, old, discarded, rollout } = group;
  const wanted = wantedReplicas(group);
  if (wanted === 0) {
    const why = rollout.wanted === null ? 'its section is gone' : 'no replica of it is wanted';
    draft.drain([...current, ...departing, ...old, ...discarded], why);
    return;
  }
  draft.drain(discarded, rollout.failure === null ? 'superseded before it served' : 'its spec failed');
  draft.drain(victims(current, current.length - wanted), 'more than the replicas that are wanted');
  drainReplaced(group, draft);
}

/** One old replica goes for each new one that has proved itself; without such a one, none. */
function drainReplaced(group: Group, draft: Draft): void {
  const { departing, old } = group;
  const stable = stableOf(group).length;
  if (stable === 0) return;
  const spare = stable + old.length + departing.length - wantedReplicas(group);
  draft.drain(victims(old, spare), 'replaced by a new replica');
}

/**
 * Makes room for new replicas that were promised the slot of an old one, once they are prepared; takes back those
 * that were promised a slot that will not come free (a GPU that was lost, an old replica that is wanted again).
 */
export function drainForWaiting(group: Group, draft: Draft): void {
  for (const member of group.current) {
    const { status } = member;
    if (status === null || status.admitted) continue;
    const isGone = (other: Member) => other === member || draft.isLeaving(other);
    if (fits(member, draft, isGone)) continue;
    const inTheWay = victims(group.old, group.old.length).find(
      (old) => old.node === member.node && fits(member, draft, (other) => other === old || isGone(other)),
    );
    if (inTheWay === undefined) draft.drain([member], 'the slot that it waits for does not come free');
    else if (status.prepared) draft.drain([inTheWay], `makes room for ${member.assignment.replicaId}`);
  }
}

/** Lets replicas go from nodes that leave: as their replacements prove themselves, at once where there is no room. */
export function drainDeparting(group: Group, draft: Draft): void {
  const underway = inFlight(group, draft.startsOf(group.rollout.deployment));
  const { current, departing, old } = group;
  if (old.length === 0) {
    draft.drain(victims(departing, departing.length - underway), 'its node is draining');
    return;
  }
  if (underway > 0 || current.length >= wantedReplicas(group)) return;
  const stranded = old.filter((member) => member.node.draining);
  draft.drain([...departing, ...stranded], 'its node is draining, and no other has room');
}

function fits(member: Member, draft: Draft, isGone: (member: Member) => boolean): boolean {
  const { assignment, node } = member;
  const request = { ...claimOf(assignment), gpuMilli: assignment.spec.gpuMilli };
  return admit(request, draft.claims(node.nodeId, isGone), node.capacity).ok;
}
