import { setTimeout as delay } from 'node:timers/promises';
import { type CommandRun, runCommand } from '../../lib/process/command.ts';

export interface DriverCallOptions {
  /** environment of nvidia-smi, with the PATH it is looked for on */
  readonly env: Readonly<Record<string, string>>;
  /** a healthy driver answers in well under five seconds */
  readonly timeoutMs: number;
}

/** How long the kernel may take to end what is out of its time. */
const KILL_MS = 500;

/**
 * One kind of question to the driver. A driver in trouble can leave nvidia-smi in a state where even SIGKILL waits, so the
 * deadline is kept here as well, and no second one is started beside one that hangs.
 */
export class DriverCall {
  readonly #options: DriverCallOptions;
  #running: Promise<CommandRun> | null = null;

  constructor(options: DriverCallOptions) {
    this.#options = options;
  }

  /** @returns null when it did not even end; what an earlier call of this kind says where that one still runs */
  async ask(args: readonly string[]): Promise<CommandRun | null> {
    this.#running ??= runCommand('nvidia-smi', args, this.#options).finally(() => {
      this.#running = null;
    });
    const deadline = new AbortController();
    const late = delay(this.#options.timeoutMs + KILL_MS, null, { signal: deadline.signal }).catch(
      () => null,
    );
    const answer = await Promise.race([this.#running, late]);
    deadline.abort();
    return answer;
  }
}
