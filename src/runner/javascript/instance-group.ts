import type { LaunchFile } from '../../channel/launch.ts';
import type { ControlResult, LoadTimes, WorkReport } from '../../channel/messages.ts';
import type { JsonValue } from '../../lib/json.ts';
import { findBackendFile } from './backend-file.ts';
import { importableBackend } from './bundle.ts';
import { type Instance, type OnDeath, startInstances } from './instance-pool.ts';
import { note } from './note.ts';
import { type Job, MOST_AHEAD, Scheduler } from './scheduler.ts';
import type { Outcome, StartTask } from './thread-tasks.ts';
import { WorkMeter } from './work-meter.ts';

type GroupLaunch = LaunchFile & Pick<StartTask, 'ownLog'>;

/** All instances of a replica: `concurrency` of them, in a thread each, treated as one. */
export class InstanceGroup {
  readonly #launch: GroupLaunch;
  readonly #instances: readonly Instance[];
  readonly #scheduler: Scheduler;
  #canReconfigure = false;
  #reconfigured: Promise<unknown> = Promise.resolve();

  constructor(launch: GroupLaunch, onDeath: OnDeath) {
    this.#launch = launch;
    const slots = Math.max(MOST_AHEAD, launch.max_batch_size);
    this.#instances = startInstances(launch.concurrency, slots, onDeath);
    this.#scheduler = new Scheduler(this.#instances);
  }

  /**
   * Compiles where needed, and constructs every instance, all at the same time.
   * @returns the longest times among them
   * @throws ServeError BUNDLE_FAILED, NO_BACKEND_FILE, START_FAILED, …
   */
  async start(): Promise<LoadTimes> {
    const launch = this.#launch;
    const file = await importableBackend(findBackendFile(launch.code_dir, launch.package));
    const task = {
      file,
      className: launch.backend,
      modelPath: launch.model_path,
      userConfig: launch.user_config,
      maxBatchSize: launch.max_batch_size,
      ownLog: launch.ownLog,
    };
    const started = await Promise.all(this.#instances.map((instance) => instance.start(task)));
    this.#canReconfigure = started.every((reply) => reply.canReconfigure);
    if (started.every((reply) => reply.takesBatches)) {
      this.#scheduler.gather({ size: launch.max_batch_size, waitMs: launch.batch_wait_timeout_s * 1000 });
    } else if (launch.max_batch_size > 1) {
      note(
        `max_batch_size is ${launch.max_batch_size}, but class ${launch.backend} has no method predictBatch: it is called once for each request`,
      );
    }
    return {
      import_ms: Math.max(...started.map((reply) => reply.load.import_ms)),
      construct_ms: Math.max(...started.map((reply) => reply.load.construct_ms)),
    };
  }

  /** Calls that have left user code so far. */
  get callCount(): number {
    return this.#instances.reduce((sum, { meter }) => sum + meter.count, 0);
  }

  get work(): WorkReport {
    return WorkMeter.report(this.#instances.map(({ meter }) => meter));
  }

  submit(job: Job): void {
    this.#scheduler.submit(job);
  }

  /** True: user code has not seen the job and never will. */
  withdraw(job: Job): boolean {
    return this.#scheduler.withdraw(job);
  }

  /** Gives every instance the config, each between two calls. Applications do not overlap: the last one asked for is in force at the end. */
  reconfigure(config: JsonValue): Promise<ControlResult> {
    if (!this.#canReconfigure) {
      const error = `class ${this.#launch.backend} has no method reconfigure(config)`;
      return Promise.resolve({ ok: false, unsupported: true, error });
    }
    const applied = this.#reconfigured.then(() =>
      this.#onEach((instance) => instance.reconfigure(config), true),
    );
    this.#reconfigured = applied;
    return applied;
  }

  health(): Promise<ControlResult> {
    return this.#onEach((instance) => instance.health(), false);
  }

  /** Calls `shutdown()` of every instance, in the middle of calls that have not ended. */
  shutdown(): Promise<ControlResult> {
    return this.#onEach((instance) => instance.shutdown(), false);
  }

  /** One result for all: the first error, with how many instances it concerns. */
  async #onEach(
    ask: (instance: Instance) => Promise<Outcome>,
    betweenCalls: boolean,
  ): Promise<ControlResult> {
    const instances = this.#instances;
    const outcomes = await Promise.all(
      instances.map((instance) =>
        betweenCalls ? this.#scheduler.between(instance, () => ask(instance)) : ask(instance),
      ),
    );
    const errors = outcomes.flatMap((outcome) => (outcome.ok ? [] : [outcome.error]));
    const [first] = errors;
    if (first === undefined) return { ok: true };
    const extent = instances.length > 1 ? `in ${errors.length} of ${instances.length} instances: ` : '';
    return { ok: false, error: `${extent}${first}` };
  }
}
