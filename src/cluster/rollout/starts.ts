import { place } from '../placement/place.ts';
import type { PlaceableNode, PlacementRequest } from '../placement/types.ts';
import { reservedMemoryBytes } from '../spec/memory.ts';
import type { Draft } from './draft.ts';
import { type Group, inFlight, stableOf, wantedReplicas } from './group.ts';
import type { RevisedSpec } from './types.ts';
import { victims } from './victims.ts';
import type { Member } from './view.ts';

/** What a deployment is still short of after the plan, with the reasons; empty: nothing, or a change is under way. */
export type Shortfalls = ReadonlyMap<string, readonly string[]>;

interface Wish {
  readonly group: Group;
  readonly target: RevisedSpec;
  missing: number;
  reasons: readonly string[];
}

/**
 * Finds room for missing replicas, all deployments together: free room first; then, for one new replica at a time,
 * room beside the old one (CPUs may be exceeded meanwhile); then the slots of those that leave anyway; then the slot
 * of an old one, which is told to leave only when the new one is prepared.
 */
export function startMissing(groups: readonly Group[], draft: Draft): Shortfalls {
  const wishes = groups.flatMap((group) => wishOf(group));
  startWhere(wishes, draft, { nodes: draft.nodes(), why: 'missing' });
  for (const wish of wishes) if (mayReplaceOne(wish, draft)) startBeside(wish, draft);
  const isLeaving = (member: Member) => draft.isLeaving(member);
  startWhere(wishes, draft, { nodes: draft.nodes(isLeaving), why: 'takes the slot of one that leaves' });
  for (const wish of wishes) if (mayReplaceOne(wish, draft)) startInPlaceOf(wish, draft);
  return new Map(wishes.map((wish) => [wish.group.rollout.deployment, shortfall(wish, draft)]));
}

/** The first new replica goes alone: the others follow when it has proved itself. */
function wishOf(group: Group): Wish[] {
  const { target, current, old } = group;
  if (target === null) return [];
  const short = wantedReplicas(group) - current.length;
  const first = old.length > 0 && stableOf(group).length === 0;
  const missing = first ? Math.min(short, current.length === 0 ? 1 : 0) : short;
  return missing > 0 ? [{ group, target, missing, reasons: [] }] : [];
}

function startWhere(
  wishes: readonly Wish[],
  draft: Draft,
  room: { readonly nodes: readonly PlaceableNode[]; readonly why: string },
): void {
  const byId = new Map<string, Wish>();
  for (const wish of wishes) {
    for (let index = 0; index < wish.missing; index += 1) byId.set(`${wish.target.spec.name} ${index}`, wish);
  }
  const requests = [...byId].map(([id, wish]) => requestFor(wish.target, id));
  const { placements, unplaced } = place(requests, room.nodes);
  for (const { request, reasons } of unplaced) {
    const wish = byId.get(request.replicaId);
    if (wish !== undefined && wish.reasons.length === 0) wish.reasons = reasons;
  }
  for (const placement of placements) {
    const wish = byId.get(placement.replicaId);
    if (wish !== undefined) begin(wish, draft, { ...placement, why: room.why });
  }
}

function startBeside(wish: Wish, draft: Draft): void {
  const nodes = namesOf(nodesForTarget(wish, draft));
  const request = { ...requestFor(wish.target, 'beside'), mayExceedCpu: true };
  const found = place(
    [request],
    draft.nodes().filter((node) => nodes.has(node.nodeId)),
  ).placements[0];
  if (found !== undefined) begin(wish, draft, { ...found, why: 'beside the old replica' });
}

function startInPlaceOf(wish: Wish, draft: Draft): void {
  const nodes = namesOf(nodesForTarget(wish, draft));
  const request = { ...requestFor(wish.target, 'instead'), mayExceedCpu: true };
  for (const old of victims(wish.group.old, wish.group.old.length)) {
    if (!nodes.has(old.node.nodeId)) continue;
    const without = draft.node(old.node, (member) => member === old || draft.isLeaving(member));
    const found = place([request], [without]).placements[0];
    if (found === undefined) continue;
    begin(wish, draft, { ...found, why: `in place of ${old.assignment.replicaId}` });
    return;
  }
}

/** Only one new replica at a time exceeds the CPUs or waits for an old one's slot, and only while there is an old one. */
function mayReplaceOne(wish: Wish, draft: Draft): boolean {
  const { group } = wish;
  return (
    wish.missing > 0 &&
    group.old.length > 0 &&
    inFlight(group, draft.startsOf(group.rollout.deployment)) === 0
  );
}

/** Nodes that hold the target with all it asks for, CPUs too, once the old replicas are gone. */
function nodesForTarget(wish: Wish, draft: Draft): readonly PlaceableNode[] {
  const { old, leaving } = wish.group;
  const goes = new Set([...old, ...leaving]);
  const nodes = draft.nodes((member) => goes.has(member) || draft.isLeaving(member));
  return nodes.filter((node) => place([requestFor(wish.target, 'later')], [node]).placements.length > 0);
}

function namesOf(nodes: readonly PlaceableNode[]): ReadonlySet<string> {
  return new Set(nodes.map((node) => node.nodeId));
}

function requestFor({ spec }: RevisedSpec, replicaId: string): PlacementRequest {
  return {
    replicaId,
    deployment: spec.name,
    cpuMilli: spec.cpuMilli,
    memoryBytes: reservedMemoryBytes(spec),
    gpuMilli: spec.gpuMilli,
    mayExceedCpu: false,
  };
}

function begin(
  wish: Wish,
  draft: Draft,
  found: Pick<Parameters<Draft['start']>[1], 'nodeId' | 'slices'> & { readonly why: string },
): void {
  wish.missing -= 1;
  draft.start(wish.target, { nodeId: found.nodeId, slices: found.slices }, found.why);
}

/** While a replacement is under way there will be room when it is done: no shortfall then. */
function shortfall(wish: Wish, draft: Draft): readonly string[] {
  const { group, missing, reasons } = wish;
  if (missing === 0) return [];
  const underway = inFlight(group, draft.startsOf(group.rollout.deployment)) > 0;
  return group.old.length > 0 && underway ? [] : [...new Set(reasons)];
}
