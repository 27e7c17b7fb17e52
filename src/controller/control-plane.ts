import type { ReplicaAssignment } from '../cluster/replicas/types.ts';
import type { ModelFetch, Progress, ReplicaDetail, StatusDocument } from '../cluster/status/types.ts';
import { ServeError } from '../lib/errors.ts';
import type { ClusterEvent, Store } from '../store/types.ts';
import type { ApplyDesk, ApplyResult, PlanResult } from './apply-desk.ts';
import type { ApplySource } from './draft.ts';
import type { Leader } from './leader.ts';
import type { LeaderState } from './leader-state.ts';
import { progressOf } from './progress.ts';
import type { Rotations } from './rotations.ts';
import { type NodeFacts, replicasOn, rotationStatus, statusDocument } from './status-document.ts';

export interface ControlPlaneDependencies {
  readonly desk: ApplyDesk;
  readonly leader: Leader;
  readonly rotations: Pick<Rotations, 'rotation' | 'nodes'>;
  readonly state: LeaderState;
  readonly store: Store;
}

/** What the admin API asks of the controller. */
export class ControlPlane {
  readonly #options: { readonly cluster: string; readonly storeKind: string };
  readonly #dependencies: ControlPlaneDependencies;

  constructor(
    options: { readonly cluster: string; readonly storeKind: string },
    dependencies: ControlPlaneDependencies,
  ) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  async plan(source: ApplySource, signal: AbortSignal): Promise<PlanResult> {
    return await this.#dependencies.desk.plan(source, signal);
  }

  async apply(source: ApplySource, signal: AbortSignal): Promise<ApplyResult> {
    return await this.#dependencies.desk.apply(source, signal);
  }

  /** Models that are being fetched from servers for applies. */
  get fetches(): readonly ModelFetch[] {
    return this.#dependencies.desk.fetches;
  }

  async events(afterId: string | null, limit: number): Promise<readonly ClusterEvent[]> {
    return await this.#dependencies.store.readEvents(afterId, limit);
  }

  /** The node id of another head that leads the cluster while this one stands by; null where there is none. */
  async otherLeader(): Promise<string | null> {
    const { leader, store } = this.#dependencies;
    if (leader.leadership !== null) return null;
    const holder = await store.readLeader().catch(() => null);
    return holder === null || holder.candidateId === leader.candidateId ? null : holder.candidateId;
  }

  async status(): Promise<StatusDocument> {
    const { leader, rotations, state, store } = this.#dependencies;
    return statusDocument({
      cluster: this.#options.cluster,
      leader: leader.leadership === null ? await this.otherLeader() : leader.candidateId,
      revision: state.revision?.number ?? 0,
      store: { kind: this.#options.storeKind, ok: store.link === 'connected' },
      rotation: leader.leadership === null ? null : rotationStatus(rotations),
      nodes: this.#nodes(),
      rollouts: state.rollouts,
      states: state.states,
    });
  }

  /**
   * A replica, and what it was assigned to run.
   * @throws ServeError REPLICA_UNKNOWN
   */
  replica(id: string): { readonly detail: ReplicaDetail; readonly assignment: ReplicaAssignment } {
    for (const node of this.#nodes()) {
      const detail = replicasOn(node).find((one) => one.detail.id === id)?.detail;
      const reported = node.reported.map((one) => one.assignment);
      const assignment = [...reported, ...node.assigned].find(({ replicaId }) => replicaId === id);
      if (detail !== undefined && assignment !== undefined) return { detail, assignment };
    }
    throw new ServeError(`there is no replica ${id}: see /api/v1/replicas for what there is`, {
      code: 'REPLICA_UNKNOWN',
    });
  }

  progress(asked: { readonly revision: number; readonly deployments: readonly string[] }): Progress {
    const { leader, state } = this.#dependencies;
    const nodes = this.#nodes();
    const newestRevision = state.revision?.number ?? 0;
    return progressOf({
      asked,
      newestRevision,
      rollouts: leader.published?.rollouts ?? [],
      states: leader.published?.states ?? [],
      reported: nodes.flatMap((node) => node.reported),
      nodeOf: new Map(
        nodes.flatMap(({ record, reported }) =>
          reported.map((status) => [status.assignment.replicaId, record.nodeId] as const),
        ),
      ),
      nowMs: Date.now(),
      ingresses: nodes
        .filter((node) => node.alive)
        .map(({ record }) => ({
          nodeId: record.nodeId,
          entry: leader.view.ingresses.find((entry) => entry.nodeId === record.nodeId) ?? null,
        })),
      table: leader.published?.table ?? null,
      decided: leader.published?.revision === newestRevision,
    });
  }

  /** Where the log of a replica lies: nodes to ask, with the replicas known there. */
  replicasOf(deployment: string): readonly { readonly nodeId: string; readonly replicaId: string }[] {
    return this.#nodes().flatMap((node) =>
      node.reported
        .filter((status) => status.assignment.deployment === deployment)
        .map((status) => ({ nodeId: node.record.nodeId, replicaId: status.assignment.replicaId })),
    );
  }

  /**
   * Asks every other node to end its replicas and leave; resolves when they have, or after `timeoutMs`.
   * @throws ServeError NOT_LEADER when there are others that cannot be told
   */
  async dismissNodes(timeoutMs: number): Promise<readonly string[]> {
    const { leader } = this.#dependencies;
    if (leader.others().length > 0 && leader.leadership === null) {
      throw new ServeError(
        'this head does not lead the cluster at the moment, so that it cannot tell the other nodes to leave. Try again, or stop them one by one with `modelserve stop`.',
        { code: 'NOT_LEADER' },
      );
    }
    leader.dismissNodes();
    return await leader.waitUntilLeft(() => leader.others(), timeoutMs);
  }

  /**
   * Resolves when a node that was told to leave is lost or no status shows it any more, or after `timeoutMs`.
   * @returns its id where it is still there
   */
  async untilLeft(nodeId: string, timeoutMs: number): Promise<readonly string[]> {
    const { leader } = this.#dependencies;
    const listed = (): readonly string[] => [nodeId].filter((one) => leader.isListed(one));
    const left = await leader.waitUntilLeft(listed, timeoutMs);
    return left.filter((one) => leader.isAlive(one));
  }

  #nodes(): readonly NodeFacts[] {
    const { leader } = this.#dependencies;
    return [...leader.view.nodes.values()].map(({ record, report }) => ({
      record,
      alive: leader.isAlive(record.nodeId),
      assigned: leader.view.assignment(record.nodeId)?.replicas ?? [],
      reported: report?.replicas ?? [],
      casualties: report?.casualties ?? [],
    }));
  }
}
