import type { LaunchFile } from '../../channel/launch.ts';
import type {
  ControlRequest,
  ControlResult,
  Refusal,
  ReplicaState,
  RequestHead,
} from '../../channel/messages.ts';
import { describe, tracebackOf } from './answer.ts';
import type { Exchange, ExchangeOptions } from './exchange.ts';
import { InstanceGroup } from './instance-group.ts';
import { StartFailedError } from './instance-pool.ts';
import { note } from './note.ts';
import { OngoingRequests } from './ongoing-requests.ts';
import { within } from './within.ts';

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
  readonly #ongoing: OngoingRequests;
  #phase: ReplicaState['phase'] = 'starting';
  #error: ReplicaState['error'] = null;
  #maxOngoing: number;
  #end: (exitCode: number) => void = noop;
  #onChange: (state: ReplicaState) => void = noop;
  #drained: Promise<void> | null = null;

  constructor(launch: LaunchFile) {
    this.launch = launch;
    this.#maxOngoing = launch.max_ongoing;
    this.#group = new InstanceGroup(launch, (reason, traceback) => this.#fail(reason, traceback));
    this.#ongoing = new OngoingRequests((job) => this.#group.submit(job));
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  get state(): ReplicaState {
    return {
      phase: this.#phase,
      max_ongoing: this.#maxOngoing,
      ongoing: this.#ongoing.size,
      error: this.#error,
    };
  }

  /** Tells each change of phase or limits to one listener. */
  watch(onChange: (state: ReplicaState) => void): void {
    this.#onChange = onChange;
  }

  /** Loads user code. Does not throw: a failure is a state. */
  async start(): Promise<void> {
    const startedAtMs = performance.now();
    try {
      await this.#group.start();
    } catch (error) {
      const isUserCode = error instanceof StartFailedError;
      this.#fail(
        describe(error).replace(/^StartFailedError: /, ''),
        isUserCode ? error.data.traceback : tracebackOf(error),
      );
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
    return this.#ongoing.size >= this.#maxOngoing ? 'full' : null;
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
        await this.drain(request.grace_ms);
        return { ok: true };
      default:
        return { ok: false, error: `this runner does not know the operation ${JSON.stringify(request)}` };
    }
  }

  /** Refuses what is new, finishes what runs within the grace, calls `shutdown()`, and is over. Idempotent: the first grace counts. */
  drain(graceMs: number): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async #drain(graceMs: number): Promise<void> {
    if (this.#phase === 'failed') return;
    const wasReady = this.#phase === 'ready';
    this.#enter('draining');
    if (!(await this.#ongoing.idleWithin(graceMs))) {
      note(`${this.#ongoing.size} requests still run after the grace of ${graceMs} ms: they are cut off`);
    }
    if (wasReady) {
      const outcome = await within(SHUTDOWN_MS, this.#group.shutdown());
      if (outcome === null) note(`shutdown() did not end within ${SHUTDOWN_MS} ms`);
      else if (!outcome.ok) note(`shutdown() failed: ${outcome.error ?? ''}`);
    }
    this.#end(0);
  }

  #limit(maxOngoing: number, concurrency: number): ControlResult {
    if (concurrency !== this.launch.concurrency) {
      const error = `concurrency is the number of instances, which a replica keeps for life: ${this.launch.concurrency}, asked for ${concurrency}`;
      return { ok: false, error };
    }
    this.#maxOngoing = maxOngoing;
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

function noop(): void {
  // nobody listens yet
}
