import { Worker } from 'node:worker_threads';

/** A thread ends when nothing was asked of it for this long. */
const IDLE_MS = 10_000;

export interface ThreadEvents<From> {
  readonly onMessage: (message: From) => void;
  /** nothing may be given to it any more; called again when it has ended, and what it had to do with it */
  readonly onEnd: () => void;
}

/** A thread that lasts as long as there is work, and a while beyond. */
export class IdleThread<To, From> {
  readonly #worker: Worker;
  readonly #onEnd: () => void;
  #idle: NodeJS.Timeout | null = null;

  /** @param path of the program that it runs. @param workerData what that is started with */
  constructor(path: string, workerData: unknown, { onMessage, onEnd }: ThreadEvents<From>) {
    this.#worker = new Worker(path, { workerData });
    this.#worker.on('message', onMessage);
    this.#worker.on('error', () => undefined); // it ends then
    this.#worker.on('exit', onEnd);
    this.#onEnd = onEnd;
  }

  send(message: To): void {
    this.#worker.postMessage(message);
  }

  /** There is work: the process stays until that is done. */
  wake(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#worker.ref();
  }

  /** There is none left. */
  rest(): void {
    this.#worker.unref();
    this.#idle = setTimeout(() => {
      this.#onEnd(); // whoever comes now gets another one
      void this.close();
    }, IDLE_MS).unref();
  }

  /** Ends it, whatever it is at. Idempotent. */
  async close(): Promise<void> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    await this.#worker.terminate();
  }
}

/**
 * The one that has least to do; where all have something, and there may be more, a new one.
 * @param start makes one, and puts it among the others
 */
export function leastBusy<One extends { readonly load: number }>(
  threads: ReadonlySet<One>,
  maxThreads: number,
  start: () => One,
): One {
  const [first, ...others] = threads;
  const least = others.reduce((best, one) => (one.load < (best?.load ?? 0) ? one : best), first);
  return least !== undefined && (least.load === 0 || threads.size >= maxThreads) ? least : start();
}
