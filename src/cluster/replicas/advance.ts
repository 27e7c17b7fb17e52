import { ServeError } from '../../lib/errors.ts';
import { restartDelayMs } from './restart-delay.ts';
import type { ReplicaEvent, ReplicaHistory, ReplicaState, Serving } from './state.ts';
import type { ReplicaFailure, ReplicaPhase } from './types.ts';

type EventType = ReplicaEvent['type'];
type In<Phase extends ReplicaPhase> = Extract<ReplicaState, { phase: Phase }>;
type Of<Type extends EventType> = Extract<ReplicaEvent, { type: Type }>;

/** An event that cannot happen in the phase: a bug of the caller. */
export class IllegalReplicaTransition extends ServeError<{
  readonly code: 'REPLICA_ILLEGAL_TRANSITION';
  readonly from: ReplicaPhase;
  readonly event: EventType;
}> {
  override readonly name = 'IllegalReplicaTransition';
}

/** The arrows: which event leads from which phase where. An arrow may still refuse by payload (null). */
type Arrows = {
  readonly [Phase in ReplicaPhase]: {
    readonly [Type in EventType]?: (state: In<Phase>, event: Of<Type>) => ReplicaState | null;
  };
};

const ARROWS: Arrows = {
  pending: {
    'preparation-started': (state) =>
      state.prepared ? null : { phase: 'preparing', history: state.history },
    admitted: (state) => (state.prepared ? awaitingSpawn(state.history) : null),
    adopted: (state, event) => begun(state.history, event.pid, event.startedAtMs),
    'drain-requested': stopped,
  },
  preparing: {
    'preparation-finished': (state) => ({ phase: 'pending', history: state.history, prepared: true }),
    'preparation-failed': (state, event) => waitingToRetry(state.history, event.failure, 'preparation'),
    'drain-requested': stopped,
  },
  starting: {
    spawned: (state, event) => (state.pid === null ? begun(state.history, event.pid, event.atMs) : null),
    'became-ready': becomeReady,
    'start-timed-out': (state, event) =>
      state.pid === null ? null : { ...state, doom: state.doom ?? event.failure },
    exited: (state, event) => waitingToRetry(state.history, state.doom ?? event.failure, 'start'),
    'drain-requested': drain,
  },
  ready: {
    'proved-stable': (state) => ({ ...state, stable: true, history: { ...state.history, startFailures: 0 } }),
    'heartbeat-lost': (state, event) => ({ ...state, phase: 'suspect', silentSinceMs: event.atMs }),
    'found-hung': (state, event) => ({ ...state, doom: state.doom ?? event.failure }),
    exited: afterServing,
    'drain-requested': drain,
  },
  suspect: {
    'heartbeat-returned': recover,
    'found-hung': (state, event) => ({ ...state, doom: state.doom ?? event.failure }),
    exited: afterServing,
    'drain-requested': drain,
  },
  draining: { exited: stopped },
  failed: {
    'retry-came-due': (state) =>
      state.next === 'start' ? awaitingSpawn(state.history) : { phase: 'preparing', history: state.history },
    'drain-requested': stopped,
  },
  stopped: {},
};

/**
 * The state a replica is in after an event.
 * @throws IllegalReplicaTransition where the event cannot happen; `accepts` asks beforehand
 */
export function advance(state: ReplicaState, event: ReplicaEvent): ReplicaState {
  const next = follow(state, event);
  if (next !== null) return next;
  throw new IllegalReplicaTransition(
    `replica in phase "${state.phase}" cannot take the event "${event.type}"; ask accepts() before late events`,
    { code: 'REPLICA_ILLEGAL_TRANSITION', from: state.phase, event: event.type },
  );
}

/** Whether the event can happen in this state: for events that come from outside and may come late. */
export function accepts(state: ReplicaState, event: ReplicaEvent): boolean {
  return follow(state, event) !== null;
}

function follow(state: ReplicaState, event: ReplicaEvent): ReplicaState | null {
  // Phase and type pick the arrow whose parameters they are: the one correlation the compiler cannot follow.
  const arrow = ARROWS[state.phase][event.type] as
    | ((state: ReplicaState, event: ReplicaEvent) => ReplicaState | null)
    | undefined;
  return arrow?.(state, event) ?? null;
}

function awaitingSpawn(history: ReplicaHistory): ReplicaState {
  return { phase: 'starting', history, pid: null, startedAtMs: null, doom: null };
}

function begun(history: ReplicaHistory, pid: number, startedAtMs: number): ReplicaState {
  const processes = history.processes + 1;
  return { phase: 'starting', history: { ...history, processes }, pid, startedAtMs, doom: null };
}

function becomeReady(state: In<'starting'>, event: Of<'became-ready'>): ReplicaState | null {
  const { history, pid, startedAtMs, doom } = state;
  if (pid === null || startedAtMs === null || doom !== null) return null;
  return { phase: 'ready', history, pid, startedAtMs, readySinceMs: event.atMs, stable: false, doom };
}

function recover(state: In<'suspect'>, event: Of<'heartbeat-returned'>): ReplicaState {
  const { silentSinceMs: _silence, ...serving } = state;
  const readySinceMs = state.stable ? state.readySinceMs : event.atMs;
  return { ...serving, phase: 'ready', readySinceMs };
}

/** A stable replica starts again at once; one that fell early has failed to start, however far it came. */
function afterServing(state: Serving, event: Of<'exited'>): ReplicaState {
  const failure = state.doom ?? event.failure;
  if (!state.stable) return waitingToRetry(state.history, failure, 'start');
  return awaitingSpawn({ ...state.history, failure });
}

function drain(state: In<'starting'> | Serving, event: Of<'drain-requested'>): ReplicaState {
  const { history, pid, startedAtMs } = state;
  if (pid === null || startedAtMs === null) return stopped(state);
  return { phase: 'draining', history, pid, startedAtMs, deadlineMs: event.deadlineMs };
}

function stopped(state: { readonly history: ReplicaHistory }): ReplicaState {
  return { phase: 'stopped', history: state.history };
}

function waitingToRetry(
  history: ReplicaHistory,
  failure: ReplicaFailure,
  next: In<'failed'>['next'],
): ReplicaState {
  const startFailures = history.startFailures + 1;
  return {
    phase: 'failed',
    history: { ...history, startFailures, failure },
    retryAtMs: failure.atMs + restartDelayMs(startFailures),
    next,
  };
}
