import type { ReplicaFailure } from './types.ts';

/** What a replica carries through all its phases. */
export interface ReplicaHistory {
  /** processes started so far, an adopted one included */
  readonly processes: number;
  /** starts (or early lives) that failed since it was last stable */
  readonly startFailures: number;
  /** the last thing that went wrong, null while nothing has */
  readonly failure: ReplicaFailure | null;
}

/**
 * One replica as its agent sees it. `pending` unprepared waits to be prepared, prepared waits for its slot; `failed`
 * waits for its next try, of the preparation or (keeping its slot) of a start.
 */
export type ReplicaState =
  | { readonly phase: 'pending'; readonly history: ReplicaHistory; readonly prepared: boolean }
  | { readonly phase: 'preparing'; readonly history: ReplicaHistory }
  | {
      readonly phase: 'starting';
      readonly history: ReplicaHistory;
      /** null: admitted, not spawned yet */
      readonly pid: number | null;
      readonly startedAtMs: number | null;
      /** why it was given up; it is being ended, and its slot is taken until the exit is reaped */
      readonly doom: ReplicaFailure | null;
    }
  | ({ readonly phase: 'ready' } & Serving)
  | ({ readonly phase: 'suspect'; readonly silentSinceMs: number } & Serving)
  | {
      readonly phase: 'draining';
      readonly history: ReplicaHistory;
      readonly pid: number;
      readonly startedAtMs: number;
      readonly deadlineMs: number;
    }
  | {
      readonly phase: 'failed';
      readonly history: ReplicaHistory;
      readonly retryAtMs: number;
      readonly next: 'preparation' | 'start';
    }
  | { readonly phase: 'stopped'; readonly history: ReplicaHistory };

export interface Serving {
  readonly history: ReplicaHistory;
  readonly pid: number;
  readonly startedAtMs: number;
  /** without a break since then */
  readonly readySinceMs: number;
  /** ready for min_ready_s without a break at least once in this process' life */
  readonly stable: boolean;
  readonly doom: ReplicaFailure | null;
}

/** What happened to a replica. `atMs` is when, by the agent's clock. */
export type ReplicaEvent =
  | { readonly type: 'preparation-started' }
  | { readonly type: 'preparation-finished' }
  | { readonly type: 'preparation-failed'; readonly failure: ReplicaFailure }
  | { readonly type: 'admitted' }
  | { readonly type: 'adopted'; readonly pid: number; readonly startedAtMs: number }
  | { readonly type: 'spawned'; readonly pid: number; readonly atMs: number }
  | { readonly type: 'became-ready'; readonly atMs: number }
  | { readonly type: 'proved-stable' }
  | { readonly type: 'heartbeat-lost'; readonly atMs: number }
  | { readonly type: 'heartbeat-returned'; readonly atMs: number }
  /** given up while it starts: it is being killed, `exited` follows */
  | { readonly type: 'start-timed-out'; readonly failure: ReplicaFailure }
  /** given up while it serves: it is being killed, `exited` follows */
  | { readonly type: 'found-hung'; readonly failure: ReplicaFailure }
  /** the process and its whole session are gone */
  | { readonly type: 'exited'; readonly failure: ReplicaFailure }
  | { readonly type: 'retry-came-due' }
  | { readonly type: 'drain-requested'; readonly deadlineMs: number };

/** A replica that was just assigned: nothing has been done for it yet. */
export function newReplica(): ReplicaState {
  return {
    phase: 'pending',
    history: { processes: 0, startFailures: 0, failure: null },
    prepared: false,
  };
}

/** Environment, code and models are there: what ReplicaStatus.prepared says. */
export function isPrepared(state: ReplicaState): boolean {
  switch (state.phase) {
    case 'pending':
      return state.prepared;
    case 'preparing':
      return false;
    case 'failed':
      return state.next === 'start';
    default:
      return true;
  }
}

/**
 * Its slices are taken on the node: what ReplicaStatus.admitted says. A replica between two starts keeps its slot, so
 * that one that crashed is certain to come back.
 */
export function isAdmitted(state: ReplicaState): boolean {
  switch (state.phase) {
    case 'starting':
    case 'ready':
    case 'suspect':
    case 'draining':
      return true;
    case 'failed':
      return state.next === 'start';
    default:
      return false;
  }
}

/** Ready for min_ready_s without a break: what ReplicaStatus.stable says. */
export function isStable(state: ReplicaState): boolean {
  return state.phase === 'ready' && state.stable;
}

/** Processes started after the first: what ReplicaStatus.restarts says. */
export function restartsOf(state: ReplicaState): number {
  return Math.max(0, state.history.processes - 1);
}
