import { tracebackOf } from './answer.ts';

/** Writes a line of the runner itself into the replica's log, among the output of user code. */
export function note(line: string): void {
  process.stderr.write(`modelserve: ${line}\n`);
}

/** The log is the only place that has all of what user code threw. */
export function noteFailure(requestId: string, thrown: unknown): void {
  note(`request ${requestId} failed: ${tracebackOf(thrown)}`);
}
