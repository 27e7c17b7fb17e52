import { writeSync } from 'node:fs';
import { tracebackOf } from './answer.ts';

/** Where the lines of the runner itself go while the output of user code is thrown away (log_output = off). */
let ownLog: number | null = null;

/**
 * From now on the runner's lines of this thread go to this descriptor, and hold nothing that a client sent: of what user
 * code throws its kind and where that was.
 */
export function noteApart(descriptor: number): void {
  ownLog = descriptor;
}

/** Writes a line of the runner itself into the replica's log, among the output of user code. */
export function note(line: string): void {
  const text = `modelserve: ${line}\n`;
  if (ownLog === null) process.stderr.write(text);
  else writeSync(ownLog, text);
}

/** What was thrown, as far as the log may hold it; further lines are indented, so that a search shows all of it. */
export function noteThrown(what: string, thrown: unknown): void {
  const text = ownLog === null ? tracebackOf(thrown) : kindOf(thrown);
  note(`${what}: ${text.replace(/\n(?=[^ \t\n])/g, '\n  ')}`);
}

/** The log is the only place that has all of what user code threw. */
export function noteFailure(requestId: string, thrown: unknown): void {
  noteThrown(`request ${requestId} failed`, thrown);
}

function kindOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return [thrown.constructor.name, ...frames].join('\n');
}
