import { type Queueable, WaitQueue } from '../../lib/wait-queue.ts';
import type { Call, CallDesk } from './call-desk.ts';
import { DeadlineAlarm } from './deadline-alarm.ts';

/** An instance, as far as calls matter. */
export interface Callee {
  readonly calls: CallDesk<Job>;
}

export interface Gathering {
  /** most jobs in one call */
  readonly size: number;
  /** how long fewer wait for more, from the first of them */
  readonly waitMs: number;
}

export interface Job extends Call, Queueable<Job> {
  /** on the clock of performance.now() */
  readonly submittedAtMs: number;
  /** by when it must have begun, on the same clock */
  readonly deadlineMs: number;
  /** it has not, and never will */
  onExpired(): void;
}

/** One instance, and the work that goes before the queue. */
interface Lane {
  readonly instance: Callee;
  readonly reserved: (() => Promise<void>)[];
  /** such work is under way */
  isReserved: boolean;
}

/**
 * How many calls an instance that is the only one has at once: no round trip then lies between two of them. With several instances each has
 * one, since what was given to one cannot go to another that is free.
 */
export const MOST_AHEAD = 8;

/**
 * Gives jobs to instances, first come first served. The queue is bounded by whoever lets requests in (max_ongoing). Work for one
 * particular instance goes before the queue, but never into a running call.
 */
export class Scheduler {
  readonly #lanes: readonly Lane[];
  readonly #mostCalls: number;
  readonly #waiting = new WaitQueue<Job>();
  readonly #deadlines = new DeadlineAlarm(() => this.#expire());
  #gathering: Gathering | null = null;
  #alarm: NodeJS.Timeout | null = null;

  constructor(instances: readonly Callee[]) {
    this.#mostCalls = instances.length === 1 ? MOST_AHEAD : 1;
    this.#lanes = instances.map((instance) => ({ instance, reserved: [], isReserved: false }));
    for (const lane of this.#lanes) lane.instance.calls.watch(() => this.#advance(lane));
  }

  /** From now on instances take several jobs in one call. */
  gather(gathering: Gathering): void {
    this.#gathering = gathering;
  }

  submit(job: Job): void {
    this.#waiting.pushBack(job);
    this.#deadlines.setFor(job.deadlineMs);
    this.#advanceAll();
  }

  /** True: the job has not begun and never will. */
  withdraw(job: Job): boolean {
    return this.#waiting.remove(job) || job.seat?.withdraw() === true;
  }

  /** Runs work on this instance as soon as its current call is over, and hands on what comes of it. */
  between<Result>(instance: Callee, work: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve) => {
      for (const lane of this.#lanes) {
        if (lane.instance !== instance) continue;
        lane.reserved.push(() => {
          const result = work();
          resolve(result);
          return result.then(noop, noop); // its failure is the asker's to hear
        });
        this.#takeBack(lane);
        this.#advance(lane);
      }
    });
  }

  #advanceAll(): void {
    for (const lane of this.#lanes) {
      if (this.#waiting.size === 0) return;
      this.#advance(lane);
    }
  }

  /** Gives the instance what it has room for. */
  #advance(lane: Lane): void {
    const { calls } = lane.instance;
    if (lane.isReserved) return;
    if (lane.reserved.length > 0) {
      if (calls.load === 0) this.#runReserved(lane);
      return;
    }
    if (this.#gathering !== null) {
      if (calls.load === 0) this.#giveBatch(calls, this.#gathering);
      return;
    }
    for (
      let job = this.#waiting.first;
      job !== null && this.#hasRoom(calls, job);
      job = this.#waiting.first
    ) {
      this.#waiting.remove(job);
      calls.give(job);
    }
  }

  /** What cannot be given twice is not given ahead: it could not be taken back. */
  #hasRoom({ load }: CallDesk<Job>, job: Job): boolean {
    return load === 0 || (load < this.#mostCalls && typeof job.content.body === 'string');
  }

  #giveBatch(calls: CallDesk<Job>, { size, waitMs }: Gathering): void {
    const { first } = this.#waiting;
    if (first === null) return;
    const leftMs = first.submittedAtMs + waitMs - performance.now();
    if (this.#waiting.size < size && leftMs > 0) {
      this.#wakeIn(leftMs);
      return;
    }
    const jobs: Job[] = [];
    while (jobs.length < size) {
      const job = this.#waiting.shift();
      if (job === null) break;
      jobs.push(job);
    }
    calls.giveTogether(jobs);
  }

  #runReserved(lane: Lane): void {
    const work = lane.reserved.shift();
    if (work === undefined) return;
    lane.isReserved = true;
    void work().then(() => {
      lane.isReserved = false;
      this.#advance(lane);
    });
  }

  /** What has not begun waits in front of the queue again. */
  #takeBack({ instance }: Lane): void {
    for (const job of [...instance.calls.unbegun].reverse()) {
      if (typeof job.content.body === 'string' && job.seat?.withdraw()) this.#waiting.pushFront(job);
    }
  }

  #expire(): void {
    const nowMs = performance.now();
    const unbegun = this.#lanes.flatMap(({ instance }) => instance.calls.unbegun);
    const expired = [...this.#waiting, ...unbegun].filter((job) => {
      if (job.deadlineMs <= nowMs) return this.withdraw(job);
      this.#deadlines.setFor(job.deadlineMs);
      return false;
    });
    for (const job of expired) job.onExpired();
  }

  #wakeIn(delayMs: number): void {
    this.#alarm ??= setTimeout(() => {
      this.#alarm = null;
      this.#advanceAll();
    }, delayMs);
  }
}

function noop(): void {
  // on purpose
}
