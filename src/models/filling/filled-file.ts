import { open } from 'node:fs/promises';
import { PieceSet } from '../../lib/content/pieces.ts';
import type { ByteRange, RemoteFile } from '../sources/types.ts';

interface Waiter {
  /** chunks that it waits for and that are not there yet */
  readonly missing: Set<number>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A file that is there at its full size, sparse, and is to get its bytes. */
export interface FillFile {
  /** its size is known */
  readonly remote: RemoteFile;
  /** absolute */
  readonly path: string;
  /** which of its chunks are there from an earlier run; each one that comes is added */
  readonly held?: PieceSet;
}

/** One file of a filler: which of its chunks are there, and who waits for them. */
export class FilledFile {
  readonly path: string;
  readonly remote: RemoteFile;
  readonly sizeBytes: number;
  readonly chunkCount: number;
  /** set by who gives its chunks out: what counts against the budget */
  chargedBytes = 0;
  readonly #chunkBytes: number;
  readonly #held: PieceSet;
  readonly #partBytes = new Map<number, number>();
  readonly #rangeWaiters = new Set<Waiter>();
  readonly #doneWaiters = new Set<Waiter>();
  readonly #abort = new AbortController();
  #heldBytes = 0;
  /** undefined: not decided */
  #outcome: { readonly error: unknown } | null | undefined;

  /** @param chunkBytes at most so much in one chunk; a file whose parts cannot be asked for is a single one */
  constructor({ remote, path, held }: FillFile, chunkBytes: number) {
    this.path = path;
    this.remote = remote;
    this.sizeBytes = remote.sizeBytes ?? 0;
    this.#chunkBytes = remote.hasRanges ? chunkBytes : Math.max(this.sizeBytes, 1);
    this.chunkCount = Math.ceil(this.sizeBytes / this.#chunkBytes);
    this.#held = held ?? new PieceSet(this.chunkCount);
    for (const chunk of this.#held.members()) this.#heldBytes += this.rangeOf(chunk).length;
  }

  get fetchedBytes(): number {
    return [...this.#partBytes.values()].reduce((sum, bytes) => sum + bytes, this.#heldBytes);
  }

  get isFull(): boolean {
    return this.#held.isFull;
  }

  /** false: it was decided already that it fails */
  get isOpen(): boolean {
    return !this.#abort.signal.aborted;
  }

  /** Ends what is read for the file when it fails. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  has(chunk: number): boolean {
    return this.#held.has(chunk);
  }

  rangeOf(chunk: number): ByteRange {
    const offset = chunk * this.#chunkBytes;
    return { offset, length: Math.min(this.#chunkBytes, this.sizeBytes - offset) };
  }

  /** First and last of the chunks that a range touches; what lies behind the file's end is none of it. */
  chunksOf({ offset, length }: ByteRange): readonly [first: number, last: number] {
    const end = Math.min(offset + length, this.sizeBytes);
    return [Math.floor(offset / this.#chunkBytes), Math.ceil(end / this.#chunkBytes) - 1];
  }

  /**
   * Opens the file for what writes a chunk of it. Each time anew: it is written to from other threads, and must be open for as
   * long as that takes, whatever becomes of the file meanwhile.
   */
  async write<Result>(work: (fd: number) => Promise<Result>): Promise<Result> {
    const handle = await open(this.path, 'r+');
    try {
      return await work(handle.fd);
    } finally {
      await handle.close();
    }
  }

  /** More bytes of a chunk have been written. */
  count(chunk: number, bytes: number): void {
    // What is tried again may be counted twice.
    const most = this.rangeOf(chunk).length;
    this.#partBytes.set(chunk, Math.min((this.#partBytes.get(chunk) ?? 0) + bytes, most));
  }

  /** All bytes of a chunk have been written. */
  add(chunk: number): void {
    this.#partBytes.delete(chunk);
    this.#held.add(chunk);
    this.#heldBytes += this.rangeOf(chunk).length;
    for (const waiter of this.#rangeWaiters) {
      waiter.missing.delete(chunk);
      if (waiter.missing.size === 0) waiter.resolve();
    }
  }

  async whenChunks(first: number, last: number, signal: AbortSignal): Promise<void> {
    const missing = new Set<number>();
    for (let chunk = first; chunk <= last; chunk += 1) if (!this.has(chunk)) missing.add(chunk);
    if (this.#outcome) throw this.#outcome.error;
    if (missing.size > 0) await wait(this.#rangeWaiters, missing, signal);
  }

  /** Waits until it is settled. */
  async whenDone(signal: AbortSignal): Promise<void> {
    if (this.#outcome) throw this.#outcome.error;
    if (this.#outcome === undefined) await wait(this.#doneWaiters, new Set(), signal);
  }

  /** Decides that it fails, which ends all that is read for it. @returns false where that was decided before */
  abandon(error: unknown): boolean {
    if (!this.isOpen || this.#outcome !== undefined) return false;
    this.#abort.abort(error);
    return true;
  }

  /** Says to whoever waits how it ended; the first time counts. */
  settle(outcome: { readonly error: unknown } | null): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    for (const waiter of [...this.#doneWaiters, ...this.#rangeWaiters]) {
      if (outcome === null) waiter.resolve();
      else waiter.reject(outcome.error);
    }
  }
}

/** A place among those who wait, left when it is over. @throws the signal's reason */
async function wait(waiters: Set<Waiter>, missing: Set<number>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const over = new AbortController();
  let waiter: Waiter | null = null;
  try {
    await new Promise<void>((resolve, reject) => {
      waiter = { missing, resolve, reject };
      waiters.add(waiter);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true, signal: over.signal });
    });
  } finally {
    over.abort();
    if (waiter !== null) waiters.delete(waiter);
  }
}
