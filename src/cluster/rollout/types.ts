import type { PlaceableNode } from '../placement/types.ts';
import type { NodeReport, ReplicaAssignment } from '../replicas/types.ts';
import type { PinnedSpec } from '../spec/types.ts';

/** A spec together with the revision that brought it. */
export interface RevisedSpec {
  readonly revision: number;
  readonly spec: PinnedSpec;
}

export interface RolloutFailure {
  readonly revision: number;
  readonly message: string;
  readonly traceback: string;
  readonly atMs: number;
}

/**
 * Where one deployment stands between revisions: durable, beside the revisions themselves.
 * `wanted` null: the section is gone, its replicas drain and the rollout is forgotten when the last has left.
 * `failure` set: the wanted spec is not tried any more, `lastGood` (or nothing) is what is kept running.
 */
export interface Rollout {
  readonly deployment: string;
  readonly wanted: RevisedSpec | null;
  readonly lastGood: RevisedSpec | null;
  readonly failure: RolloutFailure | null;
}

/** A node as the leader sees it. */
export interface ObservedNode {
  readonly nodeId: string;
  /** false: its lease lapsed and the leader may act on that; its replicas count as lost */
  readonly alive: boolean;
  /**
   * its lease lapsed, and nothing has followed from that yet: what is missing at one time counts as one loss, whether
   * it is `alive` still or not. By default: what is not alive
   */
  readonly missing?: boolean;
  /** it is leaving: replacements start elsewhere first, then its replicas drain; nothing new goes there */
  readonly draining: boolean;
  readonly capacity: PlaceableNode['capacity'];
  /** what the leader last assigned to it, `desired: 'drain'` ones included */
  readonly assigned: readonly ReplicaAssignment[];
  /** version and incarnation of `assigned`: what of it a report knows is seen by comparing them with the report's */
  readonly assignedVersion: number;
  readonly incarnation: string;
  /** null: it has not reported yet, so nothing may be concluded about what it runs */
  readonly report: NodeReport | null;
}

export interface World {
  readonly rollouts: readonly Rollout[];
  readonly nodes: readonly ObservedNode[];
}

export type DeploymentHealth =
  | 'PENDING'
  | 'UPDATING'
  | 'HEALTHY'
  | 'DEGRADED'
  | 'UNHEALTHY'
  | 'DEPLOY_FAILED'
  | 'STOPPING';

export interface DeploymentState {
  readonly deployment: string;
  readonly health: DeploymentHealth;
  /** for a person: what it waits for, what went wrong and what to do; '' when healthy */
  readonly message: string;
  readonly target: number;
  readonly ready: number;
  /** the rollout of the wanted spec has ended well: the apply command may end 0 for it */
  readonly settled: boolean;
  /** why replicas are not placed, one sentence per node and GPU; empty when all are */
  readonly unplaced: readonly string[];
}

/** What to do next. Everything is by replica, so that loops only carry out, and logs can say why. */
export interface Plan {
  /** new assignments (always `desired: 'run'`), each with the node it goes to */
  readonly start: readonly {
    readonly nodeId: string;
    readonly assignment: ReplicaAssignment;
    readonly why: string;
  }[];
  /** assigned replicas that shall drain now */
  readonly drain: readonly { readonly nodeId: string; readonly replicaId: string; readonly why: string }[];
  /** assignments whose replica has left (or whose node is lost): drop them */
  readonly forget: readonly { readonly nodeId: string; readonly replicaId: string }[];
  /** assigned replicas that get another spec in place (same `hashes.replace`): limits, user_config, timeouts */
  readonly update: readonly {
    readonly nodeId: string;
    readonly replicaId: string;
    readonly to: RevisedSpec;
  }[];
  /** rollouts that changed (good, failed); and names whose rollout is over because the section is gone */
  readonly rollouts: readonly Rollout[];
  readonly finished: readonly string[];
  readonly states: readonly DeploymentState[];
  /** nodes that went missing together, so many that nothing is concluded from it */
  readonly vanished: readonly string[];
}

/** Ids come from outside, so that decisions stay pure. */
export type NewReplicaId = (deployment: string) => string;
