import { readdirSync, readFileSync } from 'node:fs';
import { identityOf, type ProcessIdentity } from './identity.ts';

/**
 * The process that was started with exactly this argument, or null. Finds what was spawned by a program that died
 * before it could write down the pid; the argument must be unique, such as the path of a launch file.
 */
export function findByArgument(argument: string): ProcessIdentity | null {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    if (argumentsOf(name).includes(argument)) return identityOf(Number(name));
  }
  return null;
}

function argumentsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // gone meanwhile
  }
}
