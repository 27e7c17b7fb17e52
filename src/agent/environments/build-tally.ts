import type { BuildsSample } from '../../cluster/metrics/samples.ts';

/** Counts the environments that this process has built. */
export class BuildTally {
  #built = 0;
  #failed = 0;
  #seconds = 0;

  get sample(): BuildsSample {
    return { built: this.#built, failed: this.#failed, seconds: this.#seconds };
  }

  /** Runs a build, and counts it unless nobody waits for it any more. */
  async count<Result>(signal: AbortSignal, build: () => Promise<Result>): Promise<Result> {
    const beganMs = performance.now();
    try {
      const result = await build();
      this.#built += 1;
      return result;
    } catch (error) {
      if (!signal.aborted) this.#failed += 1;
      throw error;
    } finally {
      this.#seconds += (performance.now() - beganMs) / 1000;
    }
  }
}
