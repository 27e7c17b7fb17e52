import { LONGEST_TIMER_MS } from '../within.ts';
import type { Instance } from './instance-pool.ts';

/** Takes an instance until its promise settles; it must not reject. */
export type Work = (instance: Instance) => Promise<void>;

export interface Job {
  readonly run: Work;
  /** how long it may wait for an instance */
  readonly waitMs: number;
  /** called instead of `run` when it waited longer */
  readonly onExpired: () => void;
}

export interface Ticket {
  /** true: the job had not begun and never will */
  cancel(): boolean;
}

/**
 * Gives instances to jobs, one at a time and first come first served. The queue is bounded by whoever lets requests in
 * (max_ongoing). Work for one particular instance goes before the queue, but never into a running call.
 */
export class Scheduler {
  readonly #idle: Set<Instance>;
  readonly #waiting = new Set<Job>();
  readonly #reserved = new Map<Instance, Work[]>();

  constructor(instances: readonly Instance[]) {
    this.#idle = new Set(instances);
  }

  submit(job: Job): Ticket {
    const [instance] = this.#idle;
    if (instance !== undefined) {
      this.#occupy(instance, job.run);
      return { cancel: () => false };
    }
    const timer = setTimeout(
      () => {
        this.#waiting.delete(entry);
        job.onExpired();
      },
      Math.min(job.waitMs, LONGEST_TIMER_MS),
    );
    const entry: Job = {
      ...job,
      run: (given) => {
        clearTimeout(timer);
        return job.run(given);
      },
    };
    this.#waiting.add(entry);
    return {
      cancel: () => {
        clearTimeout(timer);
        return this.#waiting.delete(entry);
      },
    };
  }

  /** Runs work on this instance as soon as its current call is over, and hands on what comes of it. */
  between<Result>(instance: Instance, work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve) => {
      const reserved: Work = () => {
        const result = work();
        resolve(result);
        return result.then(noop, noop); // its failure is the asker's to hear
      };
      if (this.#idle.has(instance)) this.#occupy(instance, reserved);
      else this.#reserved.set(instance, [...(this.#reserved.get(instance) ?? []), reserved]);
    });
  }

  #occupy(instance: Instance, work: Work): void {
    this.#idle.delete(instance);
    void work(instance).finally(() => this.#release(instance));
  }

  #release(instance: Instance): void {
    const work = this.#reserved.get(instance)?.shift() ?? this.#takeWaiting();
    if (work === null) this.#idle.add(instance);
    else this.#occupy(instance, work);
  }

  #takeWaiting(): Work | null {
    const [job] = this.#waiting;
    if (job === undefined) return null;
    this.#waiting.delete(job);
    return job.run;
  }
}

function noop(): void {
  // on purpose
}
