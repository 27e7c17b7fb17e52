import { MessageChannel } from 'node:worker_threads';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { Place } from '../../../src/lib/wait-queue.ts';
import type { WholeAnswer } from '../../../src/runner/javascript/answer.ts';
import { CallDesk, type Seat } from '../../../src/runner/javascript/call-desk.ts';
import { CallLine } from '../../../src/runner/javascript/call-line.ts';
import type { IncomingCall } from '../../../src/runner/javascript/incoming-call.ts';
import { Offers } from '../../../src/runner/javascript/offers.ts';
import { type Job, MOST_AHEAD, Scheduler } from '../../../src/runner/javascript/scheduler.ts';
import type { AnswerPart } from '../../../src/runner/javascript/thread-calls.ts';
import { WorkMeter } from '../../../src/runner/javascript/work-meter.ts';
import { eventually } from './replica-harness.ts';

const ANSWER: WholeAnswer = { head: { status: 200, headers: [], ok: true }, body: 'x' };
const channels: MessageChannel[] = [];

afterEach(() => {
  for (const { port1, port2 } of channels.splice(0)) {
    port1.close();
    port2.close();
  }
});

/** User code that a test holds and lets go; in this thread, so that the test decides what happens when. */
class Host {
  readonly begun: string[] = [];
  #letGo: (() => void) | null = null;
  #isHeld = false;

  answer(call: IncomingCall): Promise<WholeAnswer> {
    this.begun.push(call.text);
    if (!this.#isHeld) return Promise.resolve(ANSWER);
    return new Promise((resolve) => {
      this.#letGo = () => resolve(ANSWER);
    });
  }

  answerTogether(calls: readonly IncomingCall[]): Promise<readonly WholeAnswer[]> {
    this.begun.push(calls.map((call) => call.text).join('+'));
    return Promise.resolve(calls.map(() => ANSWER));
  }

  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    this.#isHeld = false;
    this.#letGo?.();
  }
}

interface Instance {
  readonly calls: CallDesk<Job>;
  readonly host: Host;
}

function startInstance(): Instance {
  const channel = new MessageChannel();
  channels.push(channel);
  const offers = new Offers(MOST_AHEAD);
  const host = new Host();
  new CallLine(channel.port2, host, { offers: new Offers(offers.memory), meter: new WorkMeter() }).open();
  return { calls: new CallDesk<Job>(channel.port1, offers, MOST_AHEAD), host };
}

class TestJob implements Job {
  readonly content;
  readonly submittedAtMs = performance.now();
  readonly deadlineMs: number;
  place: Place<Job> | null = null;
  seat: Seat | null = null;
  outcome: 'answered' | 'expired' | 'withdrawn' | null = null;
  onOver: () => void = () => {};

  constructor(body: string | Uint8Array<ArrayBuffer>, timeoutMs = 60_000) {
    this.content = { headText: '{}', body };
    this.deadlineMs = this.submittedAtMs + timeoutMs;
  }

  onReply(_part: AnswerPart): void {
    this.outcome = 'answered';
    this.onOver();
  }

  onExpired(): void {
    this.outcome = 'expired';
  }
}

function submit(scheduler: Scheduler, names: readonly string[]): readonly TestJob[] {
  const jobs = names.map((name) => new TestJob(name));
  for (const job of jobs) scheduler.submit(job);
  return jobs;
}

const outcomes = (jobs: readonly TestJob[]): unknown[] => jobs.map((job) => job.outcome);
const NAMES = Array.from({ length: MOST_AHEAD + 4 }, (_, number) => `job ${number}`);

describe('an instance that is alone', () => {
  it('is given calls ahead, and runs all in order', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    instance.host.hold();
    const jobs = submit(scheduler, NAMES);
    await eventually('the first has begun', () => instance.host.begun.length === 1);
    expect(instance.calls.load).toBe(MOST_AHEAD);
    expect(instance.calls.unbegun).toEqual(jobs.slice(1, MOST_AHEAD));
    instance.host.release();
    await eventually('all are answered', () => jobs.every((job) => job.outcome === 'answered'));
    expect(instance.host.begun).toEqual(NAMES);
    expect(instance.calls.load).toBe(0);
  });

  it('has each call until it begins: it can be withdrawn, and expires', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    instance.host.hold();
    const [running, ahead, kept] = submit(scheduler, ['running', 'ahead', 'kept']);
    const late = new TestJob('late', 1);
    scheduler.submit(late);
    await eventually('the first has begun', () => instance.host.begun.length === 1);
    expect(scheduler.withdraw(running as TestJob)).toBe(false);
    expect(scheduler.withdraw(ahead as TestJob)).toBe(true);
    expect(scheduler.withdraw(ahead as TestJob)).toBe(false);
    await eventually('the deadline has passed', () => late.outcome === 'expired');
    instance.host.release();
    await eventually('it is idle', () => instance.calls.load === 0);
    expect(instance.host.begun).toEqual(['running', 'kept']);
    expect(outcomes([running, kept] as TestJob[])).toEqual(['answered', 'answered']);
  });

  it('holds no more of what was withdrawn than it may have, however long a call takes', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    instance.host.hold();
    submit(scheduler, ['running']);
    await eventually('it has begun', () => instance.host.begun.length === 1);
    for (let times = 0; times < 3; times += 1) {
      for (const job of submit(scheduler, NAMES)) expect(scheduler.withdraw(job)).toBe(true);
      expect(instance.calls.load).toBe(MOST_AHEAD);
    }
    const [last] = submit(scheduler, ['last']);
    instance.host.release();
    await eventually('the last one is answered', () => last?.outcome === 'answered');
    expect(instance.host.begun).toEqual(['running', 'last']);
  });

  it('does the work that goes before the queue right after the running call', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    instance.host.hold();
    const jobs = submit(scheduler, NAMES);
    await eventually('the first has begun', () => instance.host.begun.length === 1);
    const work = scheduler.between(instance, async () => {
      instance.host.begun.push('work');
    });
    instance.host.release();
    await work;
    await eventually('all are answered', () => jobs.every((job) => job.outcome === 'answered'));
    expect(instance.host.begun).toEqual([NAMES[0], 'work', ...NAMES.slice(1)]);
  });

  it('is given a large body only when it is idle, and nothing before it that came later', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    instance.host.hold();
    const large = new TestJob(new Uint8Array([0x4c]));
    const [small] = submit(scheduler, ['small']);
    scheduler.submit(large);
    const [later] = submit(scheduler, ['later']);
    await eventually('the first has begun', () => instance.host.begun.length === 1);
    expect(instance.calls.load).toBe(1);
    instance.host.release();
    await eventually('all are answered', () => later?.outcome === 'answered');
    expect(instance.host.begun).toEqual(['small', 'L', 'later']);
    expect(outcomes([small as TestJob, large])).toEqual(['answered', 'answered']);
  });

  it('gets batches of what still waits', async () => {
    const instance = startInstance();
    const scheduler = new Scheduler([instance]);
    scheduler.gather({ size: 3, waitMs: 60_000 });
    const [first] = submit(scheduler, ['a', 'b', 'c']);
    const others = submit(scheduler, ['d', 'e']);
    expect(scheduler.withdraw(first as TestJob)).toBe(true); // given, and not begun
    const [last] = submit(scheduler, ['f']);
    await eventually('all are answered', () => others.every((job) => job.outcome === 'answered'));
    expect(last?.outcome).toBe('answered');
    expect(instance.host.begun).toEqual(['b+c', 'd+e+f']);
  });
});

describe('several instances', () => {
  it('have one call each, so that no call waits for one while another is free', async () => {
    const instances = [startInstance(), startInstance()] as const;
    const scheduler = new Scheduler(instances);
    for (const { host } of instances) host.hold();
    const jobs = submit(scheduler, ['a', 'b', 'c', 'd']);
    await eventually('two have begun', () => instances.every(({ host }) => host.begun.length === 1));
    instances[1].host.release();
    await eventually('the rest is answered', () => jobs.slice(1).every((job) => job.outcome === 'answered'));
    expect(instances.map(({ host }) => host.begun)).toEqual([['a'], ['b', 'c', 'd']]);
    instances[0].host.release();
    await eventually('all are answered', () => jobs[0]?.outcome === 'answered');
  });
});

it('whatever is withdrawn when: a job is begun and answered, or withdrawn and never seen', async () => {
  const step = fc.record({ instances: fc.integer({ min: 1, max: 3 }), withdrawnAfter: fc.array(fc.nat(30)) });
  await fc.assert(
    fc.asyncProperty(step, async ({ instances, withdrawnAfter }) => {
      const all = Array.from({ length: instances }, startInstance);
      const scheduler = new Scheduler(all);
      const jobs = submit(
        scheduler,
        Array.from({ length: 30 }, (_, number) => String(number)),
      );
      // After so many answers, that job is withdrawn.
      jobs.forEach((job, number) => {
        job.onOver = () => {
          const victim = jobs[withdrawnAfter[number] ?? number];
          if (victim !== undefined && scheduler.withdraw(victim)) victim.outcome = 'withdrawn';
        };
      });
      await eventually('all are over', () => jobs.every((job) => job.outcome !== null));
      const begun = all.flatMap(({ host }) => host.begun);
      const answered = jobs.filter((job) => job.outcome === 'answered').map((job) => job.content.body);
      expect([...begun].sort()).toEqual([...answered].sort());
    }),
    { numRuns: 40 },
  );
});
