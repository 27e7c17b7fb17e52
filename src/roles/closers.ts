import { messageOf } from '../lib/errors.ts';
import type { StopHow } from './node.ts';

type Close = (how: StopHow) => Promise<void>;

/** What was started, ended in reverse order, once. A part that fails to end does not keep the others from ending. */
export class Closers {
  readonly #closes: Close[] = [];
  #running: Promise<void> | null = null;
  #resolveEnded: () => void = () => undefined;
  /** resolves when all has ended, whoever asked for it */
  readonly ended = new Promise<void>((resolve) => {
    this.#resolveEnded = resolve;
  });

  add(close: Close): void {
    this.#closes.push(close);
  }

  get hasRun(): boolean {
    return this.#running !== null;
  }

  async run(how: StopHow): Promise<void> {
    this.#running ??= this.#runAll(how);
    await this.#running;
  }

  async #runAll(how: StopHow): Promise<void> {
    const problems: string[] = [];
    for (const close of this.#closes.reverse()) {
      try {
        await close(how);
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
    this.#resolveEnded();
    if (problems.length > 0) throw new Error(`not everything ended in order: ${problems.join('; ')}`);
  }
}
