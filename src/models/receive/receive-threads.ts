import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { ServeError } from '../../lib/errors.ts';
import { IdleThread, leastBusy } from '../../lib/idle-thread.ts';
import { packageRoot } from '../../lib/package-root.ts';
import type { TlsSettings } from './connection.ts';
import { RangeClient } from './range-client.ts';
import type { FromThread, ThreadSettings, ToThread } from './receive-messages.ts';
import type { Received, ReceiveOptions, Receiver, ReceiveTask } from './types.ts';

interface Waiting {
  readonly onBytes: (count: number) => void;
  readonly resolve: (received: Received) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Receives parts on threads of their own: a disk that keeps a write waiting then keeps nothing else waiting. What goes into
 * memory that is not shared is received on the thread of the caller.
 */
export class ReceiveThreads implements Receiver {
  readonly #settings: ThreadSettings;
  readonly #maxThreads: number;
  readonly #threads = new Set<ReceiveThread>();
  readonly #here: RangeClient;

  constructor(tls: TlsSettings, maxThreads: number) {
    this.#settings = { tls };
    this.#maxThreads = maxThreads;
    this.#here = new RangeClient(tls);
  }

  async receive(task: ReceiveTask, options: ReceiveOptions): Promise<Received> {
    setMaxListeners(0, options.signal); // many parts have one signal, and Node takes more than ten for a leak
    const isHere = 'memory' in task.target && !(task.target.memory.buffer instanceof SharedArrayBuffer);
    return await (isHere ? this.#here : this.#leastBusy()).receive(task, options);
  }

  async close(): Promise<void> {
    await Promise.all([this.#here.close(), ...[...this.#threads].map((thread) => thread.close())]);
  }

  #leastBusy(): ReceiveThread {
    return leastBusy(this.#threads, this.#maxThreads, () => {
      const thread = new ReceiveThread(this.#settings, () => this.#threads.delete(thread));
      this.#threads.add(thread);
      return thread;
    });
  }
}

/** One thread, and what is asked of it. */
class ReceiveThread implements Receiver {
  readonly #thread: IdleThread<ToThread, FromThread>;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;

  constructor(settings: ThreadSettings, onEnd: () => void) {
    const path = join(packageRoot(), 'dist', 'models', 'receive', 'receive-worker.js');
    this.#thread = new IdleThread(path, settings, {
      onMessage: (message) => this.#hear(message),
      onEnd: () => {
        onEnd();
        this.#abandon();
      },
    });
  }

  get load(): number {
    return this.#waiting.size;
  }

  async receive(task: ReceiveTask, { signal, onBytes }: ReceiveOptions): Promise<Received> {
    signal.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    const abort = (): void => this.#thread.send({ type: 'abort', id });
    signal.addEventListener('abort', abort, { once: true });
    this.#thread.wake();
    try {
      return await new Promise<Received>((resolve, reject) => {
        this.#waiting.set(id, { onBytes, resolve, reject });
        this.#thread.send({ type: 'receive', id, task });
      });
    } finally {
      signal.removeEventListener('abort', abort);
      signal.throwIfAborted();
    }
  }

  async close(): Promise<void> {
    await this.#thread.close();
  }

  #hear(message: FromThread): void {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    if (message.type === 'progress') {
      waiting.onBytes(message.count);
      return;
    }
    this.#waiting.delete(message.id);
    if (this.#waiting.size === 0) this.#thread.rest();
    if (message.type === 'received') waiting.resolve(message.received);
    else {
      const { code } = message;
      waiting.reject(Object.assign(new Error(message.message), code === null ? {} : { code }));
    }
  }

  /** With the thread everything that it was to receive has ended; another try gets another thread. */
  #abandon(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new ServeError('the thread that received it has ended', { code: 'ECONNABORTED' }));
    }
    this.#waiting.clear();
  }
}
