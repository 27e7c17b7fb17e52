import { readFileSync } from 'node:fs';

/** A process beyond doubt: a pid alone may have been given to another process since. */
export interface ProcessIdentity {
  readonly pid: number;
  /** field 22 of /proc/<pid>/stat, clock ticks since boot */
  readonly startTicks: number;
}

export interface ProcessStat {
  /** letter of /proc/<pid>/stat: T and t are stopped, Z a zombie */
  readonly state: string;
  /** process id of the leader of its session */
  readonly sessionId: number;
  readonly startTicks: number;
  /** CPU time of all its threads so far */
  readonly cpuTicks: number;
}

/** What the kernel says of a process, or null where there is none (a zombie counts: its exit is not reaped yet). */
export function readProcessStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null; // ENOENT or ESRCH: it is gone
  }
  // The command name is in parentheses and may hold spaces and parentheses itself: fields start after the last one.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    state: fields[0] ?? '?',
    sessionId: Number(fields[3]),
    startTicks: Number(fields[19]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
  };
}

export function identityOf(pid: number): ProcessIdentity | null {
  const stat = readProcessStat(pid);
  return stat === null ? null : { pid, startTicks: stat.startTicks };
}

/** Whether this very process still runs; a zombie does not. */
export function isRunning(identity: ProcessIdentity): boolean {
  const stat = readProcessStat(identity.pid);
  return stat !== null && stat.startTicks === identity.startTicks && stat.state !== 'Z' && stat.state !== 'X';
}
