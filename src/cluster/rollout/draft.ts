import { gpuOwners, ownGpus } from '../placement/gpu-owners.ts';
import type { Claim, PlaceableNode, Placement } from '../placement/types.ts';
import type { NewReplicaId, ObservedNode, Plan, RevisedSpec } from './types.ts';
import { claimOf, closedBecause, type Member, type View } from './view.ts';

/** A plan in the making: every decision sees those before it, so that a plan, carried out, asks for nothing more. */
export class Draft {
  readonly view: View;
  readonly starts: Plan['start'][number][] = [];
  readonly drains: Plan['drain'][number][] = [];
  readonly #drained = new Set<string>();
  readonly #onNode: ReadonlyMap<string, readonly Member[]>;
  readonly #gpuOwners: ReadonlyMap<string, string>;
  readonly #newReplicaId: NewReplicaId;

  constructor(view: View, newReplicaId: NewReplicaId) {
    this.view = view;
    this.#newReplicaId = newReplicaId;
    this.#gpuOwners = gpuOwners(view.nodes);
    this.#onNode = new Map(
      view.nodes.map((node) => [node.nodeId, view.members.filter((member) => member.node === node)]),
    );
  }

  /** Whether the replica is on its way out, since earlier or by this plan. */
  isLeaving(member: Member): boolean {
    return member.assignment.desired === 'drain' || this.#drained.has(member.assignment.replicaId);
  }

  drain(members: readonly Member[], why: string): void {
    for (const member of members) {
      if (this.isLeaving(member)) continue;
      const { replicaId } = member.assignment;
      this.#drained.add(replicaId);
      this.drains.push({ nodeId: member.node.nodeId, replicaId, why });
    }
  }

  start(target: RevisedSpec, placement: Omit<Placement, 'replicaId'>, why: string): void {
    const deployment = target.spec.name;
    this.starts.push({
      nodeId: placement.nodeId,
      why,
      assignment: {
        replicaId: this.#newReplicaId(deployment),
        deployment,
        revision: target.revision,
        desired: 'run',
        slices: placement.slices,
        spec: target.spec,
      },
    });
  }

  /** How many replicas of a deployment this plan starts. */
  startsOf(deployment: string): number {
    return this.starts.filter(({ assignment }) => assignment.deployment === deployment).length;
  }

  /** Everything promised on a node, but for the replicas that are told to be gone. */
  claims(nodeId: string, isGone: (member: Member) => boolean = () => false): Claim[] {
    const kept = (this.#onNode.get(nodeId) ?? []).filter((member) => !isGone(member));
    const started = this.starts.filter((start) => start.nodeId === nodeId);
    return [...kept, ...started].map(({ assignment }) => claimOf(assignment));
  }

  /** A node as it would be without the replicas that are told to be gone. */
  node(node: ObservedNode, isGone?: (member: Member) => boolean): PlaceableNode {
    const { nodeId } = node;
    const capacity = { ...node.capacity, gpus: ownGpus(node, this.#gpuOwners) };
    return { nodeId, capacity, claims: this.claims(nodeId, isGone), closed: closedBecause(node) };
  }

  nodes(isGone?: (member: Member) => boolean): PlaceableNode[] {
    return this.view.nodes.map((node) => this.node(node, isGone));
  }
}
