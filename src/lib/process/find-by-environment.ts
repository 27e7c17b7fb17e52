import { readdirSync, readFileSync } from 'node:fs';

/**
 * Processes of this user whose environment, as it was when they began to run their program, passes a test: `NAME=value` each.
 * This process is left out.
 */
export function findByEnvironment(test: (variables: ReadonlySet<string>) => boolean): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && test(variablesOf(name)))
    .map(Number);
}

function variablesOf(pid: string): ReadonlySet<string> {
  try {
    return new Set(readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0'));
  } catch {
    return new Set(); // gone meanwhile, or somebody else's
  }
}
