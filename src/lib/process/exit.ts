import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** How a process ended; null: it was no child of this agent, so nobody was told. */
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null } | null;

const TAIL_BYTES = 8 * 1024;
const TAIL_LINES = 60;

/** Bytes in a file now, 0 where there is none: what a process writes to a log that is there already begins here. */
export function fileSizeBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** One sentence on how a process ended, for a person. */
export function describeExit(exit: Exit): string {
  if (exit === null) return 'the process ended (it was adopted, so its exit code is not known)';
  if (exit.signal === 'SIGKILL') {
    return 'the process was killed (SIGKILL): by a person, or by the kernel when memory ran out (see dmesg)';
  }
  if (exit.signal !== null) return `the process was ended by ${exit.signal}`;
  return `the process ended with code ${exit.code}`;
}

/**
 * The last lines that a process wrote to its log, at most 8 KiB; '' when it wrote nothing.
 * @param fromBytes size of the log when the process started: what is before is of another life. A log that is smaller
 * now was rotated meanwhile.
 */
export function lastOutput(logFile: string, fromBytes: number): string {
  let file: number;
  try {
    file = openSync(logFile, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const start = Math.max(size < fromBytes ? 0 : fromBytes, size - TAIL_BYTES);
    const bytes = Buffer.alloc(size - start);
    readSync(file, bytes, 0, bytes.length, start);
    return bytes.toString('utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
  } finally {
    closeSync(file);
  }
}
