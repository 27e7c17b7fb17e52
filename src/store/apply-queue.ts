import { setTimeout as delay } from 'node:timers/promises';
import { type Job as BullJob, Queue, QueueEvents, Worker } from 'bullmq';
import { type FailureData, messageOf, ServeError } from '../lib/errors.ts';
import { storeError, toStoreError } from './errors.ts';
import { storeKeys } from './keys.ts';
import { blockingClient, connected, promptClient, type QueueClient } from './queue-client.ts';
import { addressOf, type RedisTarget } from './redis-client.ts';
import { type StoreOptions, storeTarget } from './redis-store.ts';
import type { ApplyQueue } from './types.ts';

export interface ApplyQueueOptions extends Omit<StoreOptions, 'mayBeLost'> {
  /** what BullMQ could not do in the background; it tries again by itself */
  readonly onError?: (error: Error) => void;
}

/** What a handler made of a job. A failure is a value: BullMQ itself would carry the message of an error and no code. */
type Outcome<Result> =
  | { readonly ok: true; readonly result: Result }
  | { readonly ok: false; readonly message: string; readonly data: FailureData };

/** A job as BullMQ keeps it; its types know no type parameters. */
interface Envelope {
  readonly job: unknown;
}

type QueuedJob = BullJob<Envelope, Outcome<unknown>>;

interface Submitter {
  readonly client: QueueClient;
  readonly queue: Queue<Envelope, Outcome<unknown>>;
  readonly events: QueueEvents;
  /** a pattern: BullMQ reads on a copy of it */
  readonly eventsClient: QueueClient;
  /** called when the connection ends: one per job that is waited for */
  readonly onLost: Set<() => void>;
}

const QUEUE_NAME = 'apply';
/** Finished jobs that stay to be looked at. */
const JOBS_KEPT = 50;
/** Entries of BullMQ's own event stream: enough for what is in flight. */
const EVENTS_KEPT = 200;
/** How long a blocking read waits: at rest a worker costs two commands in this time, a submitter one. */
const BLOCK_MS = 10_000;
/** A job whose process is gone is given to the next one after at most lock and interval. */
const LOCK_MS = 10_000;
const STALLED_INTERVAL_MS = 10_000;
const RETRY_MS = 500;
const CLOSE_DEADLINE_MS = 5_000;

/** The `apply` queue on BullMQ. It connects when it is first used; each use fails at once while the store is away. */
export function createApplyQueue<Job, Result>(options: ApplyQueueOptions): ApplyQueue<Job, Result> {
  return new BullApplyQueue<Job, Result>(options);
}

class BullApplyQueue<Job, Result> implements ApplyQueue<Job, Result> {
  readonly #target: RedisTarget;
  readonly #prefix: string;
  readonly #onError: (error: Error) => void;
  readonly #stops = new Set<() => Promise<void>>();
  #submitter: Promise<Submitter> | null = null;

  constructor(options: ApplyQueueOptions) {
    this.#target = storeTarget(options);
    this.#prefix = storeKeys(options.prefix).jobs();
    this.#onError = options.onError ?? (() => {});
  }

  async submit(job: Job, timeoutMs: number): Promise<Result> {
    const submitter = await this.#openSubmitter();
    const lost = new AbortController();
    const onLost = (): void => lost.abort();
    submitter.onLost.add(onLost);
    try {
      const added = await this.#attempt('submit an apply job', () =>
        submitter.queue.add(QUEUE_NAME, { job }),
      );
      const finished: Promise<Outcome<unknown>> = added.waitUntilFinished(submitter.events);
      const outcome = await Promise.race([finished.catch(interrupted), patience(timeoutMs, lost.signal)]);
      if (outcome === 'lost') throw this.#lostWithJob();
      if (outcome === 'deadline') throw await this.#giveUp(submitter, added, timeoutMs);
      if (outcome.ok) return outcome.result as Result;
      throw new ServeError(outcome.message, outcome.data);
    } finally {
      submitter.onLost.delete(onLost);
      lost.abort();
    }
  }

  async process(handler: (job: Job) => Promise<Result>): Promise<() => Promise<void>> {
    const client = await connected(blockingClient(this.#target, BLOCK_MS), this.#target);
    const worker = new Worker<Envelope, Outcome<unknown>>(
      QUEUE_NAME,
      ({ data }) => outcomeOf(handler, data.job as Job),
      {
        connection: client.redis,
        prefix: this.#prefix,
        concurrency: 1,
        skipVersionCheck: true,
        drainDelay: BLOCK_MS / 1000,
        lockDuration: LOCK_MS,
        stalledInterval: STALLED_INTERVAL_MS,
        runRetryDelay: RETRY_MS,
      },
    );
    worker.on('error', this.#onError);
    const stop = async (): Promise<void> => {
      if (!this.#stops.delete(stop)) return;
      // While the server is away no job can be finished, and BullMQ would wait for it.
      await withinDeadline(worker.close(!client.isReady()));
      client.end();
    };
    this.#stops.add(stop);
    return stop;
  }

  async close(): Promise<void> {
    const opening = this.#submitter;
    this.#submitter = null;
    await Promise.all([...this.#stops].map((stop) => stop()));
    const submitter = await opening?.catch(() => null);
    if (submitter) await closeSubmitter(submitter);
  }

  #openSubmitter(): Promise<Submitter> {
    this.#submitter ??= this.#createSubmitter().catch((error) => {
      this.#submitter = null; // the next submit tries anew
      throw error;
    });
    return this.#submitter;
  }

  async #createSubmitter(): Promise<Submitter> {
    const client = await connected(promptClient(this.#target), this.#target);
    const eventsClient = blockingClient(this.#target, BLOCK_MS);
    const shared = { prefix: this.#prefix, skipVersionCheck: true };
    const queue = new Queue<Envelope, Outcome<unknown>>(QUEUE_NAME, {
      ...shared,
      connection: client.redis,
      defaultJobOptions: { attempts: 1, removeOnComplete: JOBS_KEPT, removeOnFail: JOBS_KEPT },
      streams: { events: { maxLen: EVENTS_KEPT } },
    });
    const events = new QueueEvents(QUEUE_NAME, {
      ...shared,
      connection: eventsClient.redis,
      blockingTimeout: BLOCK_MS,
      lastEventId: '0', // from the beginning: `$` may miss a job that ends before the first read
    });
    queue.on('error', this.#onError);
    events.on('error', this.#onError);
    queue.setMaxListeners(0); // BullMQ adds one per job that is waited for
    const submitter = { client, queue, events, eventsClient, onLost: new Set<() => void>() };
    client.redis.on('close', () => {
      for (const onLost of [...submitter.onLost]) onLost();
    });
    try {
      await this.#attempt('listen to apply jobs', () => events.waitUntilReady());
    } catch (error) {
      await closeSubmitter(submitter);
      throw error;
    }
    return submitter;
  }

  async #attempt<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw toStoreError(error, action, addressOf(this.#target.url));
    }
  }

  #lostWithJob(): ServeError {
    return storeError(
      'STORE_UNREACHABLE',
      `the connection to the store at ${addressOf(this.#target.url)} ended while the apply job was in it: it may still be ` +
        'carried out, see `modelserve status`',
    );
  }

  async #giveUp(submitter: Submitter, added: QueuedJob, timeoutMs: number): Promise<ServeError> {
    const removed = await submitter.queue.remove(added.id ?? '').catch(() => 0);
    const message =
      removed === 1
        ? `no leader took the apply job within ${timeoutMs} ms, and it was withdrawn: is the head running?`
        : `the leader has not finished the apply job within ${timeoutMs} ms: see \`modelserve status\` for what comes of it`;
    return storeError('APPLY_TIMEOUT', message);
  }
}

async function outcomeOf<Job, Result>(
  handler: (job: Job) => Promise<Result>,
  job: Job,
): Promise<Outcome<Result>> {
  try {
    return { ok: true, result: await handler(job) };
  } catch (error) {
    const data = error instanceof ServeError ? error.data : { code: 'APPLY_FAILED' };
    return { ok: false, message: messageOf(error), data };
  }
}

/** BullMQ itself failed the job: whoever worked on it went away, and the next one, too. */
function interrupted(error: unknown): never {
  throw storeError(
    'APPLY_INTERRUPTED',
    `the apply job was interrupted (${messageOf(error)}): see \`modelserve status\`, and apply again`,
    error,
  );
}

async function patience(timeoutMs: number, lost: AbortSignal): Promise<'lost' | 'deadline'> {
  try {
    await delay(timeoutMs, undefined, { signal: lost });
    return 'deadline';
  } catch {
    return 'lost';
  }
}

async function closeSubmitter({ client, queue, events, eventsClient }: Submitter): Promise<void> {
  const closing = Promise.all([events.close(), queue.close()]);
  if (client.isReady()) await withinDeadline(closing);
  else closing.catch(() => {}); // BullMQ would wait for the server
  eventsClient.end();
  client.end();
}

/** Bounds what BullMQ does in peace; what it could not end in time ends with its connections. */
async function withinDeadline(closing: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const deadline = delay(CLOSE_DEADLINE_MS, undefined, { signal: timer.signal }).catch(() => {});
  await Promise.race([closing.catch(() => {}), deadline]);
  timer.abort();
}
