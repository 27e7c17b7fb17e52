import type { GpuSlice } from '../placement/types.ts';
import type { PinnedSpec } from '../spec/types.ts';

export type ReplicaPhase =
  | 'pending'
  | 'preparing'
  | 'starting'
  | 'ready'
  | 'suspect'
  | 'draining'
  | 'stopped'
  | 'failed';

/**
 * "Node N runs replica R with these GPU slices": a slot, which the agent keeps filled (a process that dies is started
 * again under the same replicaId). The leader writes it; `desired: 'drain'` asks the agent to finish what is in flight
 * and end the process, after which the report no longer lists the replica.
 */
export interface ReplicaAssignment {
  readonly replicaId: string;
  readonly deployment: string;
  /** the revision whose spec this is */
  readonly revision: number;
  readonly desired: 'run' | 'drain';
  readonly slices: readonly GpuSlice[];
  readonly spec: PinnedSpec;
}

export interface NodeAssignment {
  readonly nodeId: string;
  /** grows with each write within one incarnation */
  readonly version: number;
  readonly epoch: number;
  readonly incarnation: string;
  readonly replicas: readonly ReplicaAssignment[];
  /** the whole cluster is being stopped: the node ends its replicas, leaves and exits */
  readonly leave?: boolean;
}

export type FailureKind =
  | 'prepare' // environment, code or model missing, or the import check failed
  | 'start' // the constructor raised, or the process ended before it was ready
  | 'startup-timeout'
  | 'early-crash' // ended within min_ready_s of becoming ready
  | 'crash'
  | 'hung'
  | 'unhealthy'; // the class' own health() said so

export interface ReplicaFailure {
  readonly kind: FailureKind;
  /** one line */
  readonly message: string;
  /** the backend's own traceback or last output, may be empty */
  readonly traceback: string;
  readonly atMs: number;
}

/** How the class took the user_config whose `hashes.reconfigure` is `hash`. */
export interface ReconfigureOutcome {
  readonly hash: string;
  readonly outcome: 'applied' | 'unsupported' | 'failed';
  readonly error: string;
}

/** What an agent says of one replica. Only that agent writes it. */
export interface ReplicaStatus {
  /** what it runs, in full, so that the leader can rebuild assignments from reports alone */
  readonly assignment: ReplicaAssignment;
  readonly phase: ReplicaPhase;
  /** when the phase began, or the agent took the replica over; not there: an earlier agent does not tell */
  readonly sinceMs?: number;
  /** for a person: what is going on or what it waits for */
  readonly message: string;
  readonly pid: number | null;
  /** environment, code and models are there and the import check passed */
  readonly prepared: boolean;
  /** its slices are taken on the node: from admission until the exit is reaped */
  readonly admitted: boolean;
  /** ready for at least min_ready_s without a break */
  readonly stable: boolean;
  /** processes started for it after the first */
  readonly restarts: number;
  /** starts (or early lives) that failed since it was last stable */
  readonly startFailures: number;
  readonly failure: ReplicaFailure | null;
  readonly reconfigured: ReconfigureOutcome | null;
  /**
   * `hashes.reconfigure` of the spec that its running process was started with, null while there is none. A class
   * without `reconfigure` that was started with a config has it; only one that was to change in place has not.
   */
  readonly startedWith: string | null;
  readonly startedAtMs: number | null;
}

/** A request that was given up because replicas died with it. */
export interface Casualty {
  readonly requestId: string;
  readonly deployment: string;
  readonly path: string;
  /** replicas that died while it was there */
  readonly deaths: number;
  readonly atMs: number;
}

export interface NodeReport {
  readonly nodeId: string;
  /** version and incarnation of the assignment that this report follows; -1 and '' before any */
  readonly assignmentVersion: number;
  readonly incarnation: string;
  /** of the leadership that it follows, so that no later one has a smaller; 0 before any */
  readonly epoch?: number;
  readonly replicas: readonly ReplicaStatus[];
  /** the last at this node's ingress, oldest first */
  readonly casualties?: readonly Casualty[];
}
