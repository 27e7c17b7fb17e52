import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ServeError } from '../../lib/errors.ts';
import type { FileDigest } from '../../lib/file-digests.ts';
import { IdleThread, leastBusy } from '../../lib/idle-thread.ts';
import { packageRoot } from '../../lib/package-root.ts';
import { FileFronts, type FilePart } from './file-fronts.ts';
import type { FromFrontThread, ToFrontThread } from './front-messages.ts';

/**
 * Parts are asked for in order, so that one file at a time comes: one thread keeps up with 10 Gbit/s, and a further one is
 * only started for a file that begins before the one before is through, as where a core hashes slowly.
 */
const MAX_THREADS = 4;

const threads = new Set<FrontThread>();
let lastId = 0;

interface Hashing {
  readonly id: number;
  readonly thread: FrontThread;
  readonly digest: Promise<FileDigest>;
}

/** Hashes files on threads from their start while the rest of them comes, so that little is left to do at the end. */
export class FrontDigests {
  readonly #fronts: FileFronts;
  readonly #files = new Map<string, Hashing>();
  #isClosed = false;

  /** @param parts of all files, by where these lie; those of a file in order */
  constructor(parts: readonly FilePart[]) {
    this.#fronts = new FileFronts(parts);
  }

  /**
   * A part is there for good: nothing writes to it any more.
   * @param endBytes where it ends in its file
   */
  add(part: FilePart, endBytes: number): void {
    const front = this.#fronts.add(part, endBytes);
    if (front === null || this.#isClosed) return;
    const { id, thread } = this.#files.get(front.path) ?? this.#begin(front.path);
    thread.send({ ...front, type: 'advance', id });
  }

  /**
   * The digest of a file, all of which is there or is still to come.
   * @throws FILE_CHANGED when another program has written to it; what reading it threw; ServeError STOPPED once this is closed
   */
  async digestOf(path: string): Promise<FileDigest> {
    if (this.#isClosed) throw stopped();
    const hashing = this.#files.get(path);
    if (hashing === undefined) throw new ServeError(`${path} was not hashed`, { code: 'INTERNAL' });
    return await hashing.digest;
  }

  /** Nobody wants to know any more. Idempotent. */
  close(): void {
    this.#isClosed = true;
    for (const { id, thread } of this.#files.values()) thread.drop(id);
  }

  #begin(path: string): Hashing {
    lastId += 1;
    const id = lastId;
    const thread = leastBusy(threads, Math.min(MAX_THREADS, availableParallelism()), startThread);
    const digest = thread.hash(id);
    digest.catch(() => undefined); // whoever asks for it hears of it
    const hashing = { id, thread, digest };
    this.#files.set(path, hashing);
    return hashing;
  }
}

function startThread(): FrontThread {
  const thread = new FrontThread(() => threads.delete(thread));
  threads.add(thread);
  return thread;
}

interface Waiting {
  readonly resolve: (digest: FileDigest) => void;
  readonly reject: (error: unknown) => void;
}

/** One thread, and the files that it hashes. */
class FrontThread {
  readonly #thread: IdleThread<ToFrontThread, FromFrontThread>;
  readonly #waiting = new Map<number, Waiting>();

  constructor(onEnd: () => void) {
    const path = join(packageRoot(), 'dist', 'models', 'arrival', 'front-digest-worker.js');
    this.#thread = new IdleThread(path, null, {
      onMessage: (message) => this.#hear(message),
      onEnd: () => {
        onEnd();
        for (const id of this.#waiting.keys()) this.#end(id)?.reject(lost());
      },
    });
  }

  /** files that are not through */
  get load(): number {
    return this.#waiting.size;
  }

  async hash(id: number): Promise<FileDigest> {
    this.#thread.wake();
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
    });
  }

  send(message: ToFrontThread): void {
    if (this.#waiting.has(message.id)) this.#thread.send(message);
  }

  drop(id: number): void {
    this.send({ type: 'drop', id });
    this.#end(id)?.reject(stopped());
  }

  #hear(message: FromFrontThread): void {
    const waiting = this.#end(message.id);
    if (message.type === 'digest') waiting?.resolve(message.digest);
    else {
      const { code } = message;
      waiting?.reject(Object.assign(new Error(message.message), code === null ? {} : { code }));
    }
  }

  #end(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (this.#waiting.delete(id) && this.#waiting.size === 0) this.#thread.rest();
    return waiting;
  }
}

function stopped(): ServeError {
  return new ServeError('the fetch has ended', { code: 'STOPPED' });
}

function lost(): ServeError {
  return new ServeError('the thread that hashed it has ended; apply again', { code: 'ECONNABORTED' });
}
