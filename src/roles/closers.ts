import { messageOf } from '../lib/errors.ts';
import type { StopHow } from './node.ts';

type Close = (how: StopHow) => Promise<void>;

/** What was started, ended in reverse order, once. A part that fails to end does not keep the others from ending. */
export class Closers {
  readonly #closes: Close[] = [];
  readonly #onProblem: (problem: string) => void;
  #running: Promise<void> | null = null;
  #endedHow: StopHow | null = null;
  #resolveEnded: () => void = () => undefined;
  /** resolves when all has ended, whoever asked for it */
  readonly ended = new Promise<void>((resolve) => {
    this.#resolveEnded = resolve;
  });

  /** @param onProblem told of each part that did not end in order */
  constructor(onProblem: (problem: string) => void) {
    this.#onProblem = onProblem;
  }

  /** What starts while the rest ends is ended, too. */
  add(close: Close): void {
    if (this.#endedHow === null) this.#closes.push(close);
    else void this.#close(close, this.#endedHow);
  }

  get hasRun(): boolean {
    return this.#running !== null;
  }

  /** Idempotent: a later call waits for the first. Does not throw. */
  async run(how: StopHow): Promise<void> {
    this.#running ??= this.#runAll(how);
    await this.#running;
  }

  async #runAll(how: StopHow): Promise<void> {
    for (let close = this.#closes.pop(); close !== undefined; close = this.#closes.pop()) {
      await this.#close(close, how);
    }
    this.#endedHow = how;
    this.#resolveEnded();
  }

  async #close(close: Close, how: StopHow): Promise<void> {
    try {
      await close(how);
    } catch (error) {
      this.#onProblem(`not everything ended in order: ${messageOf(error)}`);
    }
  }
}
