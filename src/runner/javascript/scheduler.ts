import { LONGEST_TIMER_MS } from '../within.ts';
import { runTogether } from './batch.ts';
import type { CallTarget, Instance } from './instance-pool.ts';

/** Takes an instance until its promise settles; it must not reject. */
type Work = (instance: Instance) => Promise<void>;

export interface Gathering {
  /** most jobs in one call */
  readonly size: number;
  /** how long fewer wait for more, from the first of them */
  readonly waitMs: number;
}

export interface Job {
  /** must not reject */
  readonly run: (target: CallTarget) => Promise<void>;
  /** how long it may wait for an instance */
  readonly waitMs: number;
  /** called instead of `run` when it waited longer */
  readonly onExpired: () => void;
}

export interface Ticket {
  /** true: the job had not begun and never will */
  cancel(): boolean;
}

interface WaitingJob {
  readonly job: Job;
  readonly sinceMs: number;
  readonly timer: NodeJS.Timeout;
}

/**
 * Gives instances to jobs, one at a time and first come first served. The queue is bounded by whoever lets requests in
 * (max_ongoing). Work for one particular instance goes before the queue, but never into a running call.
 */
export class Scheduler {
  readonly #idle: Set<Instance>;
  readonly #waiting = new Set<WaitingJob>();
  readonly #reserved = new Map<Instance, Work[]>();
  #gathering: Gathering | null = null;
  #alarm: NodeJS.Timeout | null = null;

  constructor(instances: readonly Instance[]) {
    this.#idle = new Set(instances);
  }

  /** From now on instances take several jobs in one call. */
  gather(gathering: Gathering): void {
    this.#gathering = gathering;
  }

  submit(job: Job): Ticket {
    const waiting: WaitingJob = {
      job,
      sinceMs: performance.now(),
      timer: setTimeout(
        () => {
          this.#waiting.delete(waiting);
          job.onExpired();
        },
        Math.min(job.waitMs, LONGEST_TIMER_MS),
      ),
    };
    this.#waiting.add(waiting);
    this.#dispatch();
    return {
      cancel: () => {
        clearTimeout(waiting.timer);
        return this.#waiting.delete(waiting);
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

  #dispatch(): void {
    for (const instance of this.#idle) {
      const work = this.#takeWaiting();
      if (work === null) return;
      this.#occupy(instance, work);
    }
  }

  #takeWaiting(): Work | null {
    const [first] = this.#waiting;
    if (first === undefined) return null;
    const gathering = this.#gathering;
    if (gathering === null) return this.#take(1)[0]?.run ?? null;
    const leftMs = first.sinceMs + gathering.waitMs - performance.now();
    if (this.#waiting.size < gathering.size && leftMs > 0) {
      this.#wakeIn(leftMs);
      return null;
    }
    const jobs = this.#take(gathering.size);
    return (instance) => runTogether(jobs, instance);
  }

  #take(size: number): readonly Job[] {
    const jobs: Job[] = [];
    for (const waiting of this.#waiting) {
      if (jobs.length === size) break;
      clearTimeout(waiting.timer);
      this.#waiting.delete(waiting);
      jobs.push(waiting.job);
    }
    return jobs;
  }

  #wakeIn(delayMs: number): void {
    this.#alarm ??= setTimeout(() => {
      this.#alarm = null;
      this.#dispatch();
    }, delayMs);
  }
}

function noop(): void {
  // on purpose
}
