import { setTimeout as delay } from 'node:timers/promises';
import { findByEnvironment } from '../../lib/process/find-by-environment.ts';
import { identityOf, isRunning, type ProcessIdentity } from '../../lib/process/identity.ts';

const LOOK_EVERY_MS = 1_000;

/** The programs that a loader works for, and all that they have started: what they started may outlive them. */
export class ServedPrograms {
  readonly #programs: ProcessIdentity[] = [];

  add(pid: number): void {
    const identity = identityOf(pid);
    if (identity !== null) this.#programs.push(identity);
  }

  /**
   * Looks once in a while.
   * @param isServed whether a process with this environment (`NAME=value` each) was started by one of them
   * @returns also when the signal ends it
   */
  async whenGone(isServed: (variables: ReadonlySet<string>) => boolean, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#isAnyLeft(isServed)) {
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #isAnyLeft(isServed: (variables: ReadonlySet<string>) => boolean): boolean {
    return this.#programs.some(isRunning) || findByEnvironment(isServed).length > 0;
  }
}
