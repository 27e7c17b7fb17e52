import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ServeError } from '../../lib/errors.ts';
import { packageRoot } from '../../lib/package-root.ts';
import type { TlsSettings } from './connection.ts';
import { RangeClient } from './range-client.ts';
import type { FromThread, ThreadSettings, ToThread } from './receive-messages.ts';
import type { Received, ReceiveOptions, Receiver, ReceiveTask } from './types.ts';

/** A thread ends when nothing was received for this long. */
const IDLE_MS = 10_000;

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
    const [first, ...others] = this.#threads;
    const least = others.reduce((best, one) => (one.load < (best?.load ?? 0) ? one : best), first);
    if (least !== undefined && (least.load === 0 || this.#threads.size >= this.#maxThreads)) return least;
    const thread = new ReceiveThread(this.#settings, () => this.#threads.delete(thread));
    this.#threads.add(thread);
    return thread;
  }
}

/** One thread, and what is asked of it. */
class ReceiveThread implements Receiver {
  readonly #worker: Worker;
  readonly #onEnd: () => void;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #idle: NodeJS.Timeout | null = null;

  constructor(settings: ThreadSettings, onEnd: () => void) {
    const path = join(packageRoot(), 'dist', 'models', 'receive', 'receive-worker.js');
    this.#worker = new Worker(path, { workerData: settings });
    this.#worker.on('message', (message: FromThread) => this.#hear(message));
    this.#onEnd = onEnd;
    this.#worker.on('error', () => undefined); // it ends then
    this.#worker.on('exit', () => {
      onEnd();
      this.#abandon();
    });
  }

  get load(): number {
    return this.#waiting.size;
  }

  async receive(task: ReceiveTask, { signal, onBytes }: ReceiveOptions): Promise<Received> {
    signal.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    const abort = (): void => this.#send({ type: 'abort', id });
    signal.addEventListener('abort', abort, { once: true });
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#worker.ref();
    try {
      return await new Promise<Received>((resolve, reject) => {
        this.#waiting.set(id, { onBytes, resolve, reject });
        this.#send({ type: 'receive', id, task });
      });
    } finally {
      signal.removeEventListener('abort', abort);
      signal.throwIfAborted();
    }
  }

  async close(): Promise<void> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    await this.#worker.terminate();
  }

  #send(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  #hear(message: FromThread): void {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) return;
    if (message.type === 'progress') {
      waiting.onBytes(message.count);
      return;
    }
    this.#waiting.delete(message.id);
    if (this.#waiting.size === 0) this.#rest();
    if (message.type === 'received') waiting.resolve(message.received);
    else {
      const { code } = message;
      waiting.reject(Object.assign(new Error(message.message), code === null ? {} : { code }));
    }
  }

  #rest(): void {
    this.#worker.unref();
    this.#idle = setTimeout(() => {
      this.#onEnd(); // whoever comes now gets another one
      void this.close();
    }, IDLE_MS).unref();
  }

  /** With the thread everything that it was to receive has ended; another try gets another thread. */
  #abandon(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new ServeError('the thread that received it has ended', { code: 'ECONNABORTED' }));
    }
    this.#waiting.clear();
  }
}
