import {
  isAdmitted,
  isPrepared,
  isStable,
  type ReplicaState,
  restartsOf,
} from '../../cluster/replicas/state.ts';
import type { ReconfigureOutcome, ReplicaAssignment, ReplicaStatus } from '../../cluster/replicas/types.ts';

/** What a supervisor knows beyond the state itself. */
export interface StatusNotes {
  /** what it is waiting for or doing now, '' when the phase says it all */
  readonly note: string;
  /** when the phase began, or this agent took the replica over */
  readonly sinceMs: number;
  readonly reconfigured: ReconfigureOutcome | null;
  readonly startedWith: string | null;
}

/** What the agent reports of a replica. */
export function statusOf(
  assignment: ReplicaAssignment,
  state: ReplicaState,
  notes: StatusNotes,
): ReplicaStatus {
  return {
    assignment,
    phase: state.phase,
    sinceMs: notes.sinceMs,
    message: messageOf(state, notes.note),
    pid: 'pid' in state ? state.pid : null,
    prepared: isPrepared(state),
    admitted: isAdmitted(state),
    stable: isStable(state),
    restarts: restartsOf(state),
    startFailures: state.history.startFailures,
    failure: state.history.failure,
    reconfigured: notes.reconfigured,
    startedWith: notes.startedWith,
    startedAtMs: 'startedAtMs' in state ? state.startedAtMs : null,
  };
}

function messageOf(state: ReplicaState, note: string): string {
  switch (state.phase) {
    case 'pending':
      return note === '' ? 'waits for its turn' : note;
    case 'preparing':
      return note;
    case 'starting':
      if (state.doom !== null) return `being ended: ${state.doom.message}`;
      return note === '' ? 'loading the backend' : note;
    case 'ready':
      return state.doom === null ? note : `being ended: ${state.doom.message}`;
    case 'suspect':
      return 'its process is stopped and sends no heartbeat';
    case 'draining':
      return 'finishes what it has begun';
    case 'failed':
      return state.history.failure?.message ?? 'failed';
    case 'stopped':
      return '';
  }
}
