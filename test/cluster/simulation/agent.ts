import { admit } from '../../../src/cluster/placement/admit.ts';
import type { Claim, NodeCapacity } from '../../../src/cluster/placement/types.ts';
import { accepts, advance } from '../../../src/cluster/replicas/advance.ts';
import {
  isAdmitted,
  isPrepared,
  isStable,
  newReplica,
  type ReplicaEvent,
  type ReplicaState,
  restartsOf,
} from '../../../src/cluster/replicas/state.ts';
import type {
  FailureKind,
  NodeAssignment,
  NodeReport,
  ReconfigureOutcome,
  ReplicaAssignment,
  ReplicaStatus,
} from '../../../src/cluster/replicas/types.ts';
import { behaviourOf, configBehaviourOf } from './behaviour.ts';

interface SimReplica {
  assignment: ReplicaAssignment;
  state: ReplicaState;
  reconfigured: ReconfigureOutcome | null;
  startedWith: string | null;
  /** when the step in hand (preparing, starting, draining …) is done */
  dueAtMs: number;
}

/** An agent without processes: it obeys assignments, judges its own GPUs, and lets time pass for its replicas. */
export class SimAgent {
  readonly nodeId: string;
  readonly capacity: NodeCapacity;
  readonly replicas = new Map<string, SimReplica>();
  /** what starts under an id once the replica that drains under it has left */
  readonly #successors = new Map<string, ReplicaAssignment>();
  #followed: Required<Pick<NodeReport, 'assignmentVersion' | 'incarnation' | 'epoch'>> = {
    assignmentVersion: -1,
    incarnation: '',
    epoch: 0,
  };
  readonly #random: () => number;

  constructor(nodeId: string, capacity: NodeCapacity, random: () => number) {
    this.nodeId = nodeId;
    this.capacity = capacity;
    this.#random = random;
  }

  follow(assignment: NodeAssignment, nowMs: number): void {
    const { incarnation, version, epoch } = assignment;
    const isSame = incarnation === this.#followed.incarnation;
    if (isSame ? version <= this.#followed.assignmentVersion : epoch <= this.#followed.epoch) return;
    this.#followed = { assignmentVersion: version, incarnation, epoch };
    const named = new Map(assignment.replicas.map((one) => [one.replicaId, one]));
    for (const [replicaId, replica] of this.replicas) {
      const told = named.get(replicaId);
      if (told === undefined || told.desired === 'drain') this.#drain(replica, nowMs);
      if (told !== undefined) replica.assignment = told;
    }
    this.#successors.clear();
    for (const told of assignment.replicas) {
      if (told.desired === 'drain') continue;
      const present = this.replicas.get(told.replicaId);
      if (present === undefined) this.#start(told, nowMs);
      else if (present.state.phase === 'draining') this.#successors.set(told.replicaId, told);
    }
    this.#sweep(nowMs);
  }

  /** Everything that is due by now happens. */
  pass(nowMs: number): void {
    for (const replica of this.replicas.values()) {
      for (let step = 0; step < 20 && this.#advanceOne(replica, nowMs); step += 1);
    }
    this.#sweep(nowMs);
  }

  /** A process dies. */
  crash(index: number, nowMs: number): void {
    const replica = [...this.replicas.values()].filter(({ state }) => state.phase === 'ready')[index];
    if (replica !== undefined && isStable(replica.state)) this.#exit(replica, 'crash', nowMs);
  }

  report(): NodeReport {
    return {
      nodeId: this.nodeId,
      ...this.#followed,
      replicas: [...this.replicas.values()].map(statusOf),
    };
  }

  /** What replicas hold, from admission until their exit. */
  held(except?: SimReplica): Claim[] {
    return [...this.replicas.values()]
      .filter((replica) => replica !== except && isAdmitted(replica.state))
      .map(({ assignment: { replicaId, deployment, slices, spec } }) => ({
        replicaId,
        deployment,
        slices,
        cpuMilli: spec.cpuMilli,
        memoryBytes: spec.memoryBytes,
      }));
  }

  readyOf(deployment: string): number {
    return [...this.replicas.values()].filter(
      ({ assignment, state }) => assignment.deployment === deployment && state.phase === 'ready',
    ).length;
  }

  #advanceOne(replica: SimReplica, nowMs: number): boolean {
    const { state, assignment } = replica;
    const behaviour = behaviourOf(assignment.spec);
    switch (state.phase) {
      case 'pending':
        if (!state.prepared)
          return this.#then(replica, { type: 'preparation-started' }, nowMs + this.#span(2000));
        return this.#admit(replica, nowMs);
      case 'preparing':
        if (nowMs < replica.dueAtMs) return false;
        if (behaviour !== 'unprepared') return this.#then(replica, { type: 'preparation-finished' }, nowMs);
        return this.#then(replica, { type: 'preparation-failed', failure: failure('prepare', nowMs) }, nowMs);
      case 'starting':
        if (state.pid === null) return this.#spawn(replica, nowMs);
        if (nowMs < replica.dueAtMs) return false;
        if (behaviour === 'raises') return this.#exit(replica, 'start', nowMs);
        return this.#then(replica, { type: 'became-ready', atMs: nowMs }, nowMs);
      case 'ready':
        return this.#serve(replica, nowMs);
      case 'draining':
        return nowMs >= replica.dueAtMs && this.#exit(replica, 'crash', nowMs);
      case 'failed':
        return nowMs >= state.retryAtMs && this.#then(replica, { type: 'retry-came-due' }, nowMs + 1000);
      default:
        return false;
    }
  }

  #admit(replica: SimReplica, nowMs: number): boolean {
    const { slices, spec } = replica.assignment;
    const request = {
      slices,
      cpuMilli: spec.cpuMilli,
      memoryBytes: spec.memoryBytes,
      gpuMilli: spec.gpuMilli,
    };
    if (!admit(request, this.held(replica), this.capacity).ok) return false;
    return this.#then(replica, { type: 'admitted' }, nowMs);
  }

  #spawn(replica: SimReplica, nowMs: number): boolean {
    replica.startedWith = replica.assignment.spec.hashes.reconfigure;
    replica.reconfigured = null;
    return this.#then(replica, { type: 'spawned', pid: 1, atMs: nowMs }, nowMs + this.#span(3000));
  }

  #serve(replica: SimReplica, nowMs: number): boolean {
    const { state, assignment } = replica;
    if (state.phase !== 'ready') return false;
    const { hashes } = assignment.spec;
    const inForce = replica.reconfigured?.hash ?? replica.startedWith;
    if (inForce !== hashes.reconfigure) {
      replica.reconfigured = { hash: hashes.reconfigure, ...configBehaviourOf(assignment.spec) };
    }
    if (state.stable) return false;
    const readyForMs = nowMs - state.readySinceMs;
    if (behaviourOf(assignment.spec) === 'falls' && readyForMs >= 1000) {
      return this.#exit(replica, 'early-crash', nowMs);
    }
    return readyForMs >= assignment.spec.minReadyMs && this.#then(replica, { type: 'proved-stable' }, nowMs);
  }

  #drain(replica: SimReplica, nowMs: number): void {
    const event = { type: 'drain-requested', deadlineMs: nowMs + 60_000 } as const;
    if (accepts(replica.state, event)) this.#then(replica, event, nowMs + this.#span(3000));
  }

  #exit(replica: SimReplica, kind: FailureKind, nowMs: number): boolean {
    replica.startedWith = null;
    replica.reconfigured = null;
    return this.#then(replica, { type: 'exited', failure: failure(kind, nowMs) }, nowMs + 1000);
  }

  #then(replica: SimReplica, event: ReplicaEvent, dueAtMs: number): boolean {
    replica.state = advance(replica.state, event);
    replica.dueAtMs = dueAtMs;
    return true;
  }

  #span(mostMs: number): number {
    return Math.floor(this.#random() * mostMs);
  }

  #start(assignment: ReplicaAssignment, nowMs: number): void {
    this.replicas.set(assignment.replicaId, {
      ...{ assignment, state: newReplica(), dueAtMs: nowMs },
      ...{ reconfigured: null, startedWith: null },
    });
  }

  #sweep(nowMs: number): void {
    for (const [replicaId, { state }] of this.replicas) {
      if (state.phase !== 'stopped') continue;
      this.replicas.delete(replicaId);
      const successor = this.#successors.get(replicaId);
      if (successor !== undefined && this.#successors.delete(replicaId)) this.#start(successor, nowMs);
    }
  }
}

function failure(kind: FailureKind, atMs: number) {
  return { kind, message: `${kind} failed`, traceback: 'Traceback …', atMs };
}

function statusOf({ assignment, state, reconfigured, startedWith }: SimReplica): ReplicaStatus {
  return {
    assignment,
    phase: state.phase,
    message: '',
    pid: null,
    prepared: isPrepared(state),
    admitted: isAdmitted(state),
    stable: isStable(state),
    restarts: restartsOf(state),
    startFailures: state.history.startFailures,
    failure: state.history.failure,
    reconfigured,
    startedWith,
    startedAtMs: null,
  };
}
