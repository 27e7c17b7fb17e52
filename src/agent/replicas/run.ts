import type { ReplicaState as ChannelState } from '../../channel/messages.ts';
import type { ReplicaEvent } from '../../cluster/replicas/state.ts';
import type {
  FailureKind,
  ReconfigureOutcome,
  ReplicaAssignment,
  ReplicaFailure,
} from '../../cluster/replicas/types.ts';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { messageOf } from '../../lib/errors.ts';
import type { JsonValue } from '../../lib/json.ts';
import type { Log } from '../../lib/log.ts';
import { describeExit, type Exit, lastOutput } from '../../lib/process/exit.ts';
import { watchLog } from '../run-as/log-watch.ts';
import { HealthCheck } from './health-check.ts';
import { Life, type LifeOptions, type LiveProcess } from './life.ts';
import { type Coming, ModelWatch } from './model-watch.ts';
import { type AppliedSettings, syncSettings } from './settings.ts';
import type { WorkBook } from './work-book.ts';

/** A runner that said it failed ends itself; one that does not within this time is killed. */
const FAILED_GRACE_MS = 5_000;

/** How lines begin that a runner writes into a replica's log for people. */
const RUNNER_NOTE = 'modelserve: ';
/** What Python's keeper of semaphores and shared memory says of a process that was killed. */
const TRACKER_NOTE = /\bresource_tracker\b/;

/** What is known of the process when its run begins. */
export interface RunStart {
  readonly process: LiveProcess;
  readonly startedAtMs: number;
  readonly logFile: string;
  /** size of the log when the process started */
  readonly logFromBytes: number;
  /** `hashes.reconfigure` of the spec it was started with */
  readonly startedWith: string;
  readonly applied: AppliedSettings;
  readonly reconfigured: ReconfigureOutcome | null;
}

/** What a run asks of, and tells, its supervisor. */
export interface RunContext {
  readonly assignment: () => ReplicaAssignment;
  /** false: the event came too late to count */
  readonly dispatch: (event: ReplicaEvent) => boolean;
  /** settings or stability changed: record and report are to be written */
  readonly onProgress: () => void;
  /** what of its models is still on its way */
  readonly coming: () => Coming | null;
  /** tells a person what it waits for */
  readonly say: (note: string) => void;
  readonly works: WorkBook;
  /** see NodeValues.configOf */
  readonly configOf: (spec: PinnedSpec) => JsonValue | null;
  readonly nowMs: () => number;
  readonly log: Log;
}

/**
 * One process of a replica and what is watched about it: whether it becomes ready in time and stays so, whether it
 * hangs, and that it has the settings that its spec says now.
 */
export class Run {
  readonly life: Life;
  /** resolves when the process has answered on its socket; never if it does not */
  readonly greeted: Promise<void>;
  #greet: () => void = () => undefined;
  readonly #start: RunStart;
  readonly #context: RunContext;
  readonly #timers: { startup?: NodeJS.Timeout; stability?: NodeJS.Timeout; end?: NodeJS.Timeout } = {};
  readonly #health: HealthCheck;
  readonly #models: ModelWatch;
  readonly #unwatchLog: () => void;
  #applied: AppliedSettings;
  #reconfigured: ReconfigureOutcome | null;
  #reported: ChannelState['error'] = null;
  #syncing = false;
  #hasServed = false;
  /** it has been ready for long enough, and waits for the rest of its models alone */
  #isDue = false;

  constructor(start: RunStart, lifeOptions: LifeOptions, context: RunContext) {
    this.#start = start;
    this.#context = context;
    this.#applied = start.applied;
    this.#reconfigured = start.reconfigured;
    this.greeted = new Promise((resolve) => {
      this.#greet = resolve;
    });
    this.life = new Life(start.process, lifeOptions, {
      onState: (state) => this.#follow(state),
      onWork: (report) => context.works.heard(this.#processOf(start), report),
      onForeign: (message) => {
        this.#reported = { message, traceback: '' };
        void this.life.kill(); // started again from this version
      },
      onSuspect: () => {
        clearTimeout(this.#timers.stability);
        context.dispatch({ type: 'heartbeat-lost', atMs: context.nowMs() });
      },
      onRecovered: () => {
        if (context.dispatch({ type: 'heartbeat-returned', atMs: context.nowMs() })) this.#awaitStability();
      },
      onHung: () => void this.#giveUpHung(),
    });
    this.#health = new HealthCheck({
      everyMs: lifeOptions.lifeSignLimits.healthEveryMs,
      control: (request, timeoutMs) => this.life.control(request, timeoutMs),
      onUnhealthy: (error) => void this.#giveUpUnhealthy(error),
    });
    const leftMs = start.startedAtMs + context.assignment().spec.startupTimeoutMs - context.nowMs();
    this.#timers.startup = setTimeout(() => void this.#giveUpStart(), Math.max(0, leftMs));
    this.#unwatchLog = watchLog(start.logFile, context.assignment().spec, context.log);
    this.#models = new ModelWatch({
      coming: context.coming,
      onLine: context.say,
      onWhole: () => this.#modelsAreWhole(),
      onFailure: (failure) => void this.#giveUpModels(failure),
    });
  }

  #processOf({ process: { identity } }: RunStart): {
    replicaId: string;
    deployment: string;
    pid: number;
  } {
    const { replicaId, deployment } = this.#context.assignment();
    return { replicaId, deployment, pid: identity.pid };
  }

  get settings(): Pick<RunStart, 'applied' | 'reconfigured' | 'startedAtMs' | 'startedWith'> {
    return {
      applied: this.#applied,
      reconfigured: this.#reconfigured,
      startedAtMs: this.#start.startedAtMs,
      startedWith: this.#start.startedWith,
    };
  }

  /** It serves already: an adopted process that had been stable. */
  resume(): void {
    this.#hasServed = true;
    this.#models.stop();
    clearTimeout(this.#timers.startup);
    this.#watchLifeSigns();
  }

  /** Brings the process to the settings of its spec, one change after the other. */
  async sync(): Promise<void> {
    if (this.#syncing) return;
    this.#syncing = true;
    try {
      while (!this.#isSynced()) await this.#syncOnce();
    } catch (error) {
      // Not reachable now: tried again when it says that it is ready.
      this.#context.log.warn({ error: messageOf(error) }, 'settings could not be told to the replica');
    } finally {
      this.#syncing = false;
    }
  }

  /** Ends it: in order where requests may be in flight, else at once. */
  async drain(graceMs: number): Promise<void> {
    this.#health.stop();
    await (this.#hasServed ? this.life.drain(graceMs) : this.life.kill());
  }

  /** Ends its timers and waits until nothing of its session is left. */
  async bury(): Promise<void> {
    this.#clearTimers();
    await this.life.kill();
    this.#context.works.ended(this.#processOf(this.#start), this.#context.nowMs());
  }

  /** Stops watching; the process goes on. */
  leave(): void {
    this.#clearTimers();
    this.life.leave();
  }

  /** Why it ended, in the backend's own words where it had any. */
  failure(kind: FailureKind, exit: Exit): ReplicaFailure {
    const output = lastOutput(this.#start.logFile, this.#start.logFromBytes);
    const lastLine = lastWords(output, kind);
    const ending =
      lastLine === '' ? describeExit(exit) : `${describeExit(exit)}; its last words: ${lastLine}`;
    // What it says itself of a file that cannot be opened is that it cannot be opened.
    const models = kind === 'start' || kind === 'early-crash' ? this.#models.failure : null;
    return {
      kind: models === null ? kind : 'prepare',
      message: models?.message ?? this.#reported?.message ?? ending,
      traceback: this.#reported?.traceback ?? output,
      atMs: this.#context.nowMs(),
    };
  }

  #follow(state: ChannelState): void {
    this.#greet();
    if (state.phase === 'failed') {
      this.#reported = state.error;
      this.#timers.end ??= setTimeout(() => void this.life.kill(), FAILED_GRACE_MS);
    }
    this.#hasServed ||= state.phase === 'ready' || state.phase === 'draining';
    if (state.phase !== 'ready') return;
    const { failure } = this.#models;
    if (failure !== null) return void this.#giveUpModels(failure); // whatever it made of it
    if (this.#context.dispatch({ type: 'became-ready', atMs: this.#context.nowMs() })) {
      clearTimeout(this.#timers.startup);
      // The launch file carried the configuration, so a replica that is ready has taken it.
      this.#reconfigured ??= { hash: this.#applied.configHash, outcome: 'applied', error: '' };
      this.#watchLifeSigns();
      this.#awaitStability();
      this.#context.onProgress();
    }
    void this.sync();
  }

  #watchLifeSigns(): void {
    this.life.startJudging();
    this.#health.start();
  }

  #awaitStability(): void {
    clearTimeout(this.#timers.stability);
    this.#isDue = false;
    this.#timers.stability = setTimeout(() => {
      // What it has not read yet may never come: until then nothing that serves is ended for it.
      if (this.#models.areComing) this.#isDue = true;
      else this.#proveStable();
    }, this.#context.assignment().spec.minReadyMs);
  }

  #proveStable(): void {
    this.#models.stop();
    if (this.#context.dispatch({ type: 'proved-stable' })) this.#context.onProgress();
  }

  /** What it waited for was not its own time. */
  #modelsAreWhole(): void {
    this.#context.say('');
    if (this.#isDue) this.#proveStable();
    if (this.#hasServed) return;
    clearTimeout(this.#timers.startup);
    const { startupTimeoutMs } = this.#context.assignment().spec;
    this.#timers.startup = setTimeout(() => void this.#giveUpStart(), startupTimeoutMs);
  }

  #isSynced(): boolean {
    const { spec } = this.#context.assignment();
    return (
      this.#applied.configHash === spec.hashes.reconfigure &&
      this.#applied.maxOngoing === spec.maxOngoingRequests
    );
  }

  async #syncOnce(): Promise<void> {
    const { applied, outcome } = await syncSettings(this.#applied, this.#context.assignment().spec, {
      control: (request, timeoutMs) => this.life.control(request, timeoutMs),
      configOf: this.#context.configOf,
    });
    this.#applied = applied;
    this.#reconfigured = outcome ?? this.#reconfigured;
    this.#context.onProgress();
  }

  async #giveUpStart(): Promise<void> {
    if (this.#models.areComing) return; // counts from when they are whole
    const { startupTimeoutMs } = this.#context.assignment().spec;
    const failure = {
      ...this.failure('startup-timeout', null),
      message: `not ready within startup_timeout_s = ${startupTimeoutMs / 1000}; raise it in conf.ini if the backend needs longer`,
    };
    if (this.#context.dispatch({ type: 'start-timed-out', failure })) await this.life.kill();
  }

  /** It may have swallowed that a file could not be opened: such a replica is none. */
  async #giveUpModels({ message }: Error): Promise<void> {
    this.#models.stop();
    const failure = { ...this.failure('prepare', null), message };
    if (this.#context.dispatch({ type: 'start-timed-out', failure })) return await this.life.kill();
    if (!this.#context.dispatch({ type: 'found-hung', failure })) return;
    await this.life.drain(this.#context.assignment().spec.gracefulShutdownTimeoutMs);
  }

  async #giveUpHung(): Promise<void> {
    const failure = {
      ...this.failure('hung', null),
      message:
        'no heartbeat, and its process was stopped or used no CPU for 10 s; its log ends with its stacks',
    };
    if (this.#context.dispatch({ type: 'found-hung', failure })) await this.life.abort();
  }

  /** It may still answer: what is in flight is let finish, for it is not its process that is ill. */
  async #giveUpUnhealthy(error: string): Promise<void> {
    const failure = { ...this.failure('unhealthy', null), message: `its health() failed: ${error}` };
    if (!this.#context.dispatch({ type: 'found-hung', failure })) return;
    await this.life.drain(this.#context.assignment().spec.gracefulShutdownTimeoutMs);
  }

  #clearTimers(): void {
    this.#unwatchLog();
    this.#health.stop();
    this.#models.stop();
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }
}

/** The last line that is the backend's; why it could not start, the runner may say as well. */
function lastWords(output: string, kind: FailureKind): string {
  const isTheirs = (line: string) =>
    (kind === 'start' || !line.startsWith(RUNNER_NOTE)) && !TRACKER_NOTE.test(line);
  return output.split('\n').filter(isTheirs).at(-1)?.trim() ?? '';
}
