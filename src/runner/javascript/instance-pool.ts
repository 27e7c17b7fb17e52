import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { ServeError } from '../../lib/errors.ts';
import type { JsonValue } from '../../lib/json.ts';
import { describe, tracebackOf } from './answer.ts';
import { CallDesk } from './call-desk.ts';
import { Offers } from './offers.ts';
import type { Job } from './scheduler.ts';
import type { Outcome, StartReply, StartTask, ThreadTaskName, ThreadTasks } from './thread-tasks.ts';
import { WorkMeter } from './work-meter.ts';

/** Posts a task to the thread of one instance. */
type Post = <Name extends ThreadTaskName>(
  name: Name,
  task: ThreadTasks[Name]['task'],
  transfer?: readonly MessagePort[],
) => Promise<ThreadTasks[Name]['reply']>;

type OutcomeTaskName = 'reconfigure' | 'health' | 'shutdown';

/** The constructor, `init` or first `reconfigure` of the class failed. */
export class StartFailedError extends ServeError<{
  readonly code: 'START_FAILED';
  readonly traceback: string;
}> {
  override readonly name = 'StartFailedError';
}

/** Handle of one instance of the user's class. */
export class Instance {
  readonly calls: CallDesk<Job>;
  readonly #post: Post;
  readonly #offers: Offers;
  readonly #channel = new MessageChannel();
  readonly meter = new WorkMeter();

  /** @param slots how many calls it may be given at once */
  constructor(post: Post, slots: number) {
    this.#post = post;
    this.#offers = new Offers(slots);
    this.calls = new CallDesk(this.#channel.port1, this.#offers, slots);
  }

  /** @throws StartFailedError with the traceback of user code */
  async start(task: StartTask): Promise<Extract<StartReply, { ok: true }>> {
    const callPort = this.#channel.port2;
    const reply = await this.#post(
      'start',
      { ...task, callPort, offers: this.#offers.memory, meter: this.meter.memory },
      [callPort],
    );
    if (reply.ok) return reply;
    throw new StartFailedError(reply.message, { code: 'START_FAILED', traceback: reply.traceback });
  }

  reconfigure(config: JsonValue): Promise<Outcome> {
    return this.#ask('reconfigure', { config });
  }

  health(): Promise<Outcome> {
    return this.#ask('health', {});
  }

  shutdown(): Promise<Outcome> {
    return this.#ask('shutdown', {});
  }

  /** A thread that ends meanwhile is an outcome, too. */
  async #ask<Name extends OutcomeTaskName>(name: Name, task: ThreadTasks[Name]['task']): Promise<Outcome> {
    try {
      return await this.#post(name, task);
    } catch (error) {
      return { ok: false, error: describe(error) };
    }
  }
}

/**
 * Hears that a thread has ended, which only user code can cause: `process.exit`, or an error that nobody caught.
 * @param traceback '' where there is none
 */
export type OnDeath = (reason: string, traceback: string) => void;

/**
 * Starts threads that will hold an instance each, on one piscina pool; they end with the process. Every task is addressed to a thread:
 * instances have state, so piscina's choice of any idle thread would not do. Tasks are never aborted, since piscina ends the thread of an
 * aborted task.
 * @param slots how many calls each may be given at once
 */
export function startInstances(size: number, slots: number, onDeath: OnDeath): readonly Instance[] {
  const pool = new Piscina({
    filename: fileURLToPath(new URL('./thread-worker.js', import.meta.url)),
    minThreads: size,
    maxThreads: size,
    atomics: 'disabled', // with atomics an idle thread sleeps, and with it the timers and sockets of user code
    recordTiming: false,
    loadBalancer: (task, workers) => {
      const wanted: unknown = Reflect.get(task, Piscina.queueOptionsSymbol);
      return workers.find((worker) => wanted instanceof Address && worker.id === wanted.threadId) ?? null;
    },
  });
  pool.on('error', (error) => onDeath(`a thread failed: ${describe(error)}`, tracebackOf(error)));
  return pool.threads.map((thread) => {
    thread.once('error', (error) => {
      instance.calls.receiveLeft();
      onDeath(`user code threw outside of a call: ${describe(error)}`, tracebackOf(error));
    });
    thread.once('exit', (code) => {
      instance.calls.receiveLeft();
      onDeath(`user code ended its thread with process.exit(${code})`, '');
    });
    const address = new Address(thread.threadId);
    const post: Post = (name, task, transfer = []) =>
      pool.run({ ...task, [Piscina.queueOptionsSymbol]: address }, { name, transferList: [...transfer] });
    const instance = new Instance(post, slots);
    return instance;
  });
}

class Address {
  readonly threadId: number;

  constructor(threadId: number) {
    this.threadId = threadId;
  }
}
