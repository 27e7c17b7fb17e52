/** The only way to a person: plain lines to stdout, problems to stderr. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

let hasToldProgress = false;

/** One line that is written over again and again on a terminal; elsewhere only its first state. */
export function printProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\u001b[K`);
  else if (!hasToldProgress) printError(text);
  hasToldProgress = true;
}

/** Ends that line, if there was one. */
export function endProgress(): void {
  if (hasToldProgress && process.stderr.isTTY) process.stderr.write('\n');
  hasToldProgress = false;
}

const OUTPUTS = [process.stdout, process.stderr] as const;
const endWithReader = (): void => process.exit();
const goOn = (): void => undefined;

/** Ends this process quietly when whoever read its output has left (`| head`), as other programs do. */
export function endsWithItsReader(): void {
  for (const stream of OUTPUTS) stream.on('error', endWithReader);
}

/** From now on it goes on without a reader: a node has more to do than to speak. */
export function outlivesItsReader(): void {
  for (const stream of OUTPUTS) stream.off('error', endWithReader).on('error', goOn);
}
