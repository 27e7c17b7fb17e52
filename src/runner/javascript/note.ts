/** Writes a line of the runner itself into the replica's log, among the output of user code. */
export function note(line: string): void {
  process.stderr.write(`modelserve: ${line}\n`);
}
