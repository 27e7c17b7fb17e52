import { readFileSync } from 'node:fs';

/** How many files, connections among them, this process may have open at once; Infinity where there is no limit. */
export function openFileLimit(): number {
  const [, soft] = /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft);
}
