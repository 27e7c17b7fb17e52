import { execa } from 'execa';
import { killSession } from './signals.ts';

export interface CommandRun {
  readonly exitCode: number;
  /** stdout and stderr, interleaved as they came */
  readonly output: string;
  readonly stdout: string;
  readonly timedOut: boolean;
  /** the program could not be started at all (not found, not executable) */
  readonly notFound: boolean;
}

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  /** the whole environment; nothing is inherited */
  readonly env: Readonly<Record<string, string>>;
  /** what it can read; nothing otherwise */
  readonly input?: string;
  /** called with each line of output as it comes */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** it runs in a session of its own, and all that it has started ends with it when it is cancelled or out of time */
  readonly ownSession?: boolean;
}

/** Runs a program to its end and returns what came of it; never throws for a failing program. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandRun> {
  const child = execa(command, [...args], {
    cwd: options.cwd ?? '/',
    env: { ...options.env },
    extendEnv: false,
    all: true,
    reject: false,
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
    timeout: options.timeoutMs,
    forceKillAfterDelay: 2_000,
    maxBuffer: 16 * 1024 * 1024,
    detached: options.ownSession === true,
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  const release = options.ownSession === true ? endSessionWith(child, options) : () => undefined;
  const { onLine } = options;
  const lines =
    onLine === undefined ? Promise.resolve() : forwardLines(child.iterable({ from: 'all' }), onLine);
  const result = await child;
  await lines;
  release();
  return {
    exitCode: result.exitCode ?? -1,
    output: result.all ?? '',
    stdout: result.stdout ?? '',
    timedOut: result.timedOut,
    notFound: result.code === 'ENOENT' || result.code === 'EACCES',
  };
}

/** Tools start others (compilers, scripts of packages), which would outlive them. */
function endSessionWith(child: { readonly pid?: number }, { signal, timeoutMs }: CommandOptions): () => void {
  const { pid } = child;
  if (pid === undefined) return () => undefined;
  const end = (): void => void killSession(pid);
  const timer = setTimeout(end, timeoutMs);
  signal?.addEventListener('abort', end, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  };
}

async function forwardLines(lines: AsyncIterable<unknown>, onLine: (line: string) => void): Promise<void> {
  try {
    for await (const line of lines) onLine(String(line));
  } catch {
    // the result of the run itself says what failed
  }
}
