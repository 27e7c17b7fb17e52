import { setTimeout as delay } from 'node:timers/promises';
import type {
  ReplicaState as ChannelState,
  ControlRequest,
  ControlResult,
  WorkReport,
} from '../../channel/messages.ts';
import type { Exit } from '../../lib/process/exit.ts';
import { type ProcessIdentity, readProcessStat } from '../../lib/process/identity.ts';
import { killSession, signalProcess } from '../../lib/process/signals.ts';
import { beat, JUDGE_EVERY_MS, judge, type LifeSignLimits, newPulse, type Pulse } from './hang.ts';
import { ReplicaChannel } from './replica-channel.ts';

/** For shutdown() of the class, after what was in flight is over. */
const DRAIN_MARGIN_MS = 5_000;
/** How long a process may take to write its stacks before it is killed. */
const STACKS_MS = 1_000;

/** A replica's process, spawned or adopted. */
export interface LiveProcess {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<Exit>;
  /** looks whether it is gone, where no exit event will come */
  readonly check: () => void;
  /** stops watching it */
  readonly release: () => void;
}

export interface LifeOptions {
  readonly replicaId: string;
  readonly nodeId: string;
  readonly socketPath: string;
  readonly lifeSignLimits: LifeSignLimits;
}

export interface LifeHandlers {
  readonly onState: (state: ChannelState) => void;
  /** it cannot be spoken to: it is of another version of modelserve */
  readonly onForeign: (message: string) => void;
  /** what its calls have taken by now */
  readonly onWork: (report: WorkReport) => void;
  readonly onSuspect: () => void;
  readonly onRecovered: () => void;
  readonly onHung: () => void;
}

/** One process of a replica from its start, or adoption, to its end. */
export class Life {
  /** how it ended; null when it was left running */
  readonly ended: Promise<{ readonly exit: Exit } | null>;
  readonly #process: LiveProcess;
  readonly #options: LifeOptions;
  readonly #handlers: LifeHandlers;
  readonly #channel: ReplicaChannel;
  #end: (result: { readonly exit: Exit } | null) => void = () => undefined;
  #pulse: Pulse | null = null;
  #judging: NodeJS.Timeout | null = null;
  #suspected = false;

  constructor(process: LiveProcess, options: LifeOptions, handlers: LifeHandlers) {
    this.#process = process;
    this.#options = options;
    this.#handlers = handlers;
    const { replicaId, nodeId, socketPath } = options;
    this.#channel = new ReplicaChannel(
      { replicaId, nodeId, socketPath, pid: process.identity.pid },
      {
        onState: handlers.onState,
        onForeign: handlers.onForeign,
        onBeat: () => this.#hear(),
        onWork: handlers.onWork,
        onLost: process.check,
      },
    );
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    void process.exited.then((exit) => {
      this.#release();
      this.#end({ exit });
    });
  }

  get identity(): ProcessIdentity {
    return this.#process.identity;
  }

  control(request: ControlRequest, timeoutMs: number): Promise<ControlResult> {
    return this.#channel.control(request, timeoutMs);
  }

  /** From now on silence counts; idempotent. A replica that is starting is never judged. */
  startJudging(): void {
    if (this.#judging !== null) return;
    this.#pulse = newPulse(performance.now());
    this.#judging = setInterval(() => this.#judge(), JUDGE_EVERY_MS);
  }

  stopJudging(): void {
    if (this.#judging !== null) clearInterval(this.#judging);
    this.#judging = null;
  }

  /** Lets it finish what it has begun, at most `graceMs`; then it is killed. Returns when its process is gone. */
  async drain(graceMs: number): Promise<void> {
    this.stopJudging();
    // Asked over the channel where there is one; SIGTERM means the same to a runner.
    this.control({ op: 'drain', grace_ms: graceMs }, graceMs + DRAIN_MARGIN_MS).catch(() =>
      signalProcess(this.identity.pid, 'SIGTERM'),
    );
    if (await this.#endsWithin(graceMs + DRAIN_MARGIN_MS)) await this.kill();
  }

  /** Kills it and everything that it has forked; returns when nothing of its session is left. */
  async kill(): Promise<void> {
    while (!(await killSession(this.identity.pid))) {
      // A process in an uninterruptible call ends with that call; until then it holds its GPU, so it is waited for.
    }
  }

  /**
   * Kills it as hung. SIGABRT comes first, and only then SIGCONT, so that a stopped process runs no further than its
   * abort: the Python runner's fault handler writes the stacks of all threads into the log.
   */
  async abort(): Promise<void> {
    signalProcess(this.identity.pid, 'SIGABRT');
    signalProcess(this.identity.pid, 'SIGCONT');
    if (await this.#endsWithin(STACKS_MS)) await this.kill();
  }

  /** Stops watching; the process goes on for the next agent. */
  leave(): void {
    this.#release();
    this.#end(null);
  }

  /** Waits for its end, so long at most; false when it was left to the next agent meanwhile. */
  async #endsWithin(timeoutMs: number): Promise<boolean> {
    const over = new AbortController();
    const late = delay(timeoutMs, undefined, { signal: over.signal }).catch(() => undefined);
    const end = await Promise.race([this.ended, late]);
    over.abort();
    return end !== null;
  }

  #release(): void {
    this.stopJudging();
    this.#channel.stop();
    this.#process.release();
  }

  #hear(): void {
    if (this.#pulse !== null) this.#pulse = beat(this.#pulse, performance.now());
    if (!this.#suspected) return;
    this.#suspected = false;
    this.#handlers.onRecovered();
  }

  #judge(): void {
    const stat = readProcessStat(this.identity.pid);
    if (stat === null || this.#pulse === null) return; // its end is being noticed elsewhere
    const stopped = stat.state === 'T' || stat.state === 't';
    const observed = { nowMs: performance.now(), cpuTicks: stat.cpuTicks, stopped };
    const { pulse, verdict } = judge(this.#pulse, observed, this.#options.lifeSignLimits);
    this.#pulse = pulse;
    if (verdict === 'hung') {
      this.stopJudging();
      this.#handlers.onHung();
    }
    if (verdict === 'suspect' && !this.#suspected) {
      this.#suspected = true;
      this.#handlers.onSuspect();
    }
  }
}
