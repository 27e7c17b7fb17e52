import { readdirSync, readFileSync } from 'node:fs';
import { type ProcessIdentity, readProcessStat } from './identity.ts';

/**
 * The session leader that was started with exactly this argument, or null. Finds what was spawned by a program that died
 * before it could write down the pid; the argument must be unique, such as the path of a launch file. What the process
 * has forked shows the same arguments, but leads no session.
 */
export function findByArgument(argument: string): ProcessIdentity | null {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const pid = Number(name);
    if (!argumentsOf(name).includes(argument)) continue;
    const stat = readProcessStat(pid);
    if (stat?.sessionId === pid) return { pid, startTicks: stat.startTicks };
  }
  return null;
}

/** The command line of a process; empty where it is gone. */
export function argumentsOf(pid: number | string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // gone meanwhile
  }
}
