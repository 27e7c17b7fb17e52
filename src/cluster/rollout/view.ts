import type { Claim, PlaceableNode } from '../placement/types.ts';
import type { ReplicaAssignment, ReplicaStatus } from '../replicas/types.ts';
import { reservedMemoryBytes } from '../spec/memory.ts';
import type { ObservedNode, Plan, World } from './types.ts';

/** An assigned replica that is still there, or may be. */
export interface Member {
  readonly node: ObservedNode;
  readonly assignment: ReplicaAssignment;
  /** null: the node has not reported it, or nothing may be concluded from what it reported */
  readonly status: ReplicaStatus | null;
}

/** The world after what has left was taken out of it. */
export interface View {
  readonly nodes: readonly ObservedNode[];
  readonly members: readonly Member[];
  /** on nodes that count as lost: they may serve still, but nothing relies on them */
  readonly lost: readonly Member[];
  readonly forget: Plan['forget'];
  /** nodes that vanished together, so many that nothing is concluded from it */
  readonly vanished: readonly string[];
}

/** Sorts out which assigned replicas are gone: drained and no longer reported, or with their node. */
export function viewOf(world: World): View {
  const vanished = vanishedTogether(world.nodes);
  const assigned = world.nodes.flatMap((node) => membersOn(node));
  const isLost = ({ node }: Member) => !node.alive && (vanished.length === 0 || !isMissing(node));
  const isGone = (member: Member) => hasLeft(member) || (isLost(member) && wasLeaving(member));
  const there = assigned.filter((member) => !isGone(member));
  return {
    nodes: world.nodes,
    members: there.filter((member) => !isLost(member)),
    lost: there.filter(isLost),
    forget: assigned.filter(isGone).map(nameOf),
    vanished,
  };
}

/** By what plans name a replica. */
export function nameOf({ node, assignment }: Member): {
  readonly nodeId: string;
  readonly replicaId: string;
} {
  return { nodeId: node.nodeId, replicaId: assignment.replicaId };
}

function wasLeaving({ node, assignment }: Member): boolean {
  return node.draining || assignment.desired === 'drain';
}

/** Whether its node is there and has reported, so that a missing status means: not started yet. */
export function isHeardOf(member: Member): boolean {
  return member.node.alive && member.node.report !== null;
}

/** What an assignment promises a replica on its node. */
export function claimOf(assignment: ReplicaAssignment): Claim {
  const { replicaId, deployment, slices, spec } = assignment;
  return { replicaId, deployment, slices, cpuMilli: spec.cpuMilli, memoryBytes: reservedMemoryBytes(spec) };
}

/** Why nothing new goes to a node, or null. */
export function closedBecause(node: ObservedNode): PlaceableNode['closed'] {
  if (!node.alive) return 'it is not heard of';
  if (node.draining) return 'it is draining';
  if (node.report === null) return 'it has not reported yet what it runs';
  return null;
}

/**
 * Half of the nodes, and at least two, at once: more likely the network or the store than the machines, and moving
 * everything onto the rest would bring that down too. Leases lapse one after the other, within a renewal's interval:
 * when the first node counts as lost, those that went with it are missing, too.
 */
function vanishedTogether(nodes: readonly ObservedNode[]): readonly string[] {
  const missing = nodes.filter(isMissing);
  const before = nodes.filter((node) => node.alive || isMissing(node));
  if (missing.every((node) => node.alive)) return [];
  const isMost = missing.length >= 2 && missing.length * 2 >= before.length;
  return isMost ? missing.map((node) => node.nodeId) : [];
}

function isMissing(node: ObservedNode): boolean {
  return node.missing ?? !node.alive;
}

function membersOn(node: ObservedNode): Member[] {
  const statuses = new Map(node.report?.replicas.map((status) => [status.assignment.replicaId, status]));
  return node.assigned.map((assignment) => {
    const status = node.alive ? (statuses.get(assignment.replicaId) ?? null) : null;
    return { node, assignment, status };
  });
}

/** Only a report that knows of the drain proves by its silence that the replica has left. */
function hasLeft({ node, assignment, status }: Member): boolean {
  const { report, alive } = node;
  if (assignment.desired === 'run' || report === null || !alive) return false;
  const follows = report.incarnation === node.incarnation && report.assignmentVersion >= node.assignedVersion;
  return follows && (status === null || status.phase === 'stopped');
}
