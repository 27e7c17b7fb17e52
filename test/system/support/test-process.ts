import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
export const CLI = join(ROOT, 'dist', 'cli', 'main.js');

/** A `modelserve` command that goes on, with what it has said so far. */
export class TestProcess {
  readonly args: readonly string[];
  readonly #options: { readonly env: NodeJS.ProcessEnv; readonly cwd?: string };
  #child: ChildProcess | null = null;
  output = '';

  constructor(args: readonly string[], options: { readonly env: NodeJS.ProcessEnv; readonly cwd?: string }) {
    this.args = args;
    this.#options = options;
  }

  get pid(): number {
    return this.#child?.pid ?? -1;
  }

  get hasEnded(): boolean {
    return this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  /** Starts the process; `prefix` may run it inside a network namespace. */
  launch(prefix: readonly string[] = []): void {
    const [program = process.execPath, ...rest] = [...prefix, process.execPath, CLI, ...this.args];
    const { env, cwd = tmpdir() } = this.#options;
    const child = spawn(program, rest, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.output += String(chunk);
      });
    }
    this.#child = child;
  }

  /** Waits for a line of output. @throws with the whole output when the process ends or the time is up */
  async says(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    return await until(
      `${this.args[0]} to say ${pattern}`,
      () => {
        const match = pattern.exec(this.output);
        if (match === null && this.hasEnded) throw new Error(`it ended:\n${this.output}`);
        return match;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- output\n${this.output}`);
    });
  }

  /** From now on nobody reads its output, as after `| head -1`. */
  leaveUnread(): void {
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async ended(timeoutMs = 60_000): Promise<void> {
    await until(`${this.args[0]} to end`, () => this.hasEnded, timeoutMs).catch((error: unknown) => {
      throw new Error(`${String(error)}\n--- output\n${this.output}`);
    });
  }
}
