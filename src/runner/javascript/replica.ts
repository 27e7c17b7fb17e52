import type { LaunchFile } from '../../channel/launch.ts';
import type {
  ControlRequest,
  ControlResult,
  LoadTimes,
  Refusal,
  ReplicaState,
  RequestHead,
  WorkReport,
} from '../../channel/messages.ts';
import { LONGEST_TIMER_MS, within } from '../within.ts';
import { describe, tracebackOf } from './answer.ts';
import type { Exchange, ExchangeOptions } from './exchange.ts';
import { InstanceGroup } from './instance-group.ts';
import { StartFailedError } from './instance-pool.ts';
import { note } from './note.ts';
import { OngoingRequests } from './ongoing-requests.ts';

/** How long `shutdown()` of the class may take. */
const SHUTDOWN_MS = 5_000;
/** Tracebacks travel in one frame, whose limit is 64 KiB. */
const MAX_TRACEBACK_CHARS = 10_000;
const MAX_MESSAGE_CHARS = 500;

/** The life of this replica and the requests it has: `starting → ready → draining`, or `failed`. */
export class Replica {
  readonly launch: LaunchFile;
  /** resolves once, with the process' exit code, when the replica is over */
  readonly ended: Promise<number>;
  readonly #group: InstanceGroup;
  /** every ingress knows that nothing new is taken */
  readonly #allAware: Promise<void>;
  readonly #ongoing: OngoingRequests;
  #phase: ReplicaState['phase'] = 'starting';
  #error: ReplicaState['error'] = null;
  #load: LoadTimes | null = null;
  #end: (exitCode: number) => void = noop;
  #onChange: (state: ReplicaState) => void = noop;
  #graceTimer: NodeJS.Timeout | null = null;
  #onAllAware: () => void = noop;

  /** @param ownLog see StartTask */
  constructor(launch: LaunchFile, ownLog: number | null) {
    this.launch = launch;
    this.#group = new InstanceGroup({ ...launch, ownLog }, (reason, traceback) => {
      if (!this.#isFinishing) this.#fail(reason, traceback); // shutdown() may end its thread
    });
    this.#allAware = new Promise((resolve) => {
      this.#onAllAware = resolve;
    });
    this.#ongoing = new OngoingRequests(launch.max_ongoing, this.#group);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get state(): ReplicaState {
    return {
      phase: this.#phase,
      max_ongoing: this.#ongoing.limit,
      ongoing: this.#ongoing.size,
      error: this.#error,
      load: this.#load,
    };
  }

  /** Calls that have left user code so far. */
  get callCount(): number {
    return this.#group.callCount;
  }

  /** What calls have taken since the process began. */
  get work(): WorkReport {
    return this.#group.work;
  }

  /** Tells each change of phase or limits to one listener. */
  watch(onChange: (state: ReplicaState) => void): void {
    this.#onChange = onChange;
  }

  /** Loads user code. Does not throw: a failure is a state. */
  async start(): Promise<void> {
    const startedAtMs = performance.now();
    try {
      this.#load = await this.#group.start();
    } catch (error) {
      const traceback = error instanceof StartFailedError ? error.data.traceback : tracebackOf(error);
      this.#fail(describe(error), traceback);
      return;
    }
    if (this.#phase !== 'starting') return;
    note(
      `ready after ${Math.round(performance.now() - startedAtMs)} ms, instances: ${this.launch.concurrency}`,
    );
    this.#enter('ready');
  }

  /** Whether a request may come in; null: it may. */
  refusalOf(head: RequestHead): Refusal['reason'] | null {
    if (head.replica !== this.launch.replica) return 'unknown_replica';
    if (this.#phase === 'draining') return 'draining';
    if (this.#phase !== 'ready') return 'not_ready';
    return this.#ongoing.size >= this.#ongoing.limit ? 'full' : null;
  }

  /** Lets a request in; `onOver` is called once, when it takes up nothing any more. */
  open(options: ExchangeOptions, onOver: () => void): Exchange {
    return this.#ongoing.open(options, onOver);
  }

  async control(request: ControlRequest): Promise<ControlResult> {
    switch (request.op) {
      case 'reconfigure':
        return this.#phase === 'ready' ? this.#group.reconfigure(request.config) : this.#notNow(request.op);
      case 'health':
        return this.#phase === 'ready' ? this.#group.health() : this.#notNow(request.op);
      case 'limits':
        return this.#limit(request.max_ongoing, request.concurrency);
      case 'dump_stacks':
        this.#logCalls();
        return { ok: true };
      case 'drain':
        if (!isAmount(request.grace_ms)) return refused('grace_ms', request.grace_ms);
        this.drain(request.grace_ms);
        return { ok: true };
      default:
        return { ok: false, error: `this runner does not know the operation ${JSON.stringify(request)}` };
    }
  }

  /** Refuses what is new, finishes what runs, at most `graceMs`, calls `shutdown()`, and is over. A shorter grace may follow a longer. */
  drain(graceMs: number): void {
    if (this.#phase === 'failed') return;
    const wasReady = this.#phase === 'ready';
    if (this.#isFinishing) return;
    if (this.#graceTimer !== null) clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(
      () => {
        note(`${this.#ongoing.size} requests are cut off after the grace of ${graceMs} ms`);
        this.#ongoing.cutOff();
        void this.#finish();
      },
      Math.min(graceMs, LONGEST_TIMER_MS),
    );
    if (this.#phase === 'draining') return;
    this.#enter('draining');
    // Ending while a request is on its way here would lose it: it would count as begun.
    if (wasReady) void this.#allAware.then(() => this.#ongoing.whenIdle(() => void this.#finish()));
    else this.#end(0); // user code is in its constructor: there is nothing to finish
  }

  /** No request is on its way here any more: told by whoever holds the connections. */
  allAware(): void {
    this.#onAllAware();
  }

  /** Nothing runs any more but shutdown(). */
  get #isFinishing(): boolean {
    return this.#phase === 'draining' && this.#graceTimer === null;
  }

  async #finish(): Promise<void> {
    if (this.#graceTimer === null) return;
    clearTimeout(this.#graceTimer);
    this.#graceTimer = null;
    const outcome = await within(SHUTDOWN_MS, this.#group.shutdown());
    if (outcome === null) note(`shutdown() did not end within ${SHUTDOWN_MS} ms`);
    else if (!outcome.ok) note(`shutdown() failed: ${outcome.error ?? ''}`);
    this.#end(0);
  }

  #limit(maxOngoing: number, concurrency: number): ControlResult {
    if (concurrency !== this.launch.concurrency) {
      const error = `concurrency is the number of instances, which a replica keeps for life: ${this.launch.concurrency}, asked for ${concurrency}`;
      return { ok: false, error };
    }
    if (!isAmount(maxOngoing) || maxOngoing < 1) return refused('max_ongoing', maxOngoing);
    this.#ongoing.limit = maxOngoing;
    this.#onChange(this.state);
    return { ok: true };
  }

  #notNow(operation: string): ControlResult {
    return { ok: false, error: `${operation}: the replica is ${this.#phase}, not ready` };
  }

  /** Node cannot show the stack of another thread: what it is at must do. */
  #logCalls(): void {
    const calls = this.#ongoing.describe();
    note([`${calls.length} requests`, ...calls].join('\n  '));
  }

  #fail(message: string, traceback: string): void {
    if (this.#phase === 'failed') return;
    this.#error = {
      message: message.slice(0, MAX_MESSAGE_CHARS),
      traceback: traceback.slice(0, MAX_TRACEBACK_CHARS),
    };
    note(`failed: ${traceback === '' ? message : traceback}`);
    this.#enter('failed');
    this.#end(1);
  }

  #enter(phase: ReplicaState['phase']): void {
    this.#phase = phase;
    this.#onChange(this.state);
  }
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}

function refused(field: string, value: unknown): ControlResult {
  return {
    ok: false,
    error: `${field} must be a number that is large enough, found ${JSON.stringify(value)}`,
  };
}

function noop(): void {
  // nobody listens yet
}
