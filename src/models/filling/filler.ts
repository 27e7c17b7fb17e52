import { ServeError } from '../../lib/errors.ts';
import { type ByteRange, type ModelSource, SourceError } from '../sources/types.ts';
import { FillOrder, type Turn } from './fill-order.ts';
import { FilledFile, type FillFile } from './filled-file.ts';

export interface FillerOptions {
  /** requests at once; 16 by default */
  readonly connections?: number;
  /** what one request asks for; 8 MiB by default */
  readonly chunkBytes?: number;
  /** how much may be filled and not released; what somebody waits for comes all the same. Not given: no limit */
  readonly budgetBytes?: number;
  /** a chunk has been written */
  readonly onChunk?: (path: string, range: ByteRange) => void;
  /**
   * A file has all its bytes (null), or never gets them. Whoever waits for the file learns it after this has ended; what it
   * throws is the file's failure.
   */
  readonly onFile?: (path: string, error: Error | null) => void | Promise<void>;
}

export interface FillProgress {
  /** of what is there from an earlier run as well */
  readonly fetchedBytes: number;
  readonly totalBytes: number;
  /** over the time in which something was fetched */
  readonly bytesPerSecond: number;
}

/** Together they fill a fast line: stores give one connection only so much. */
const CONNECTIONS = 16;
const CHUNK_BYTES = 8 * 1024 ** 2;

/**
 * Fills files that are there at their full size with what a source has, several chunks at a time, in an order that changes as
 * files are asked for. A chunk is fetched once. A file that cannot be had rejects whoever waits for it and stays incomplete;
 * the others go on.
 */
export class Filler {
  readonly #source: ModelSource;
  readonly #options: FillerOptions & { readonly connections: number; readonly chunkBytes: number };
  readonly #order = new FillOrder<FilledFile>();
  readonly #files = new Map<string, FilledFile>();
  readonly #work = new Set<Promise<void>>();
  #transfers = 0;
  /** what is filled or being filled, and not released */
  #chargedBytes = 0;
  #receivedBytes = 0;
  #activeMs = 0;
  #activeSinceMs = 0;
  #isStopped = false;

  constructor(source: ModelSource, options: FillerOptions = {}) {
    this.#source = source;
    this.#options = {
      ...options,
      connections: options.connections ?? CONNECTIONS,
      chunkBytes: options.chunkBytes ?? CHUNK_BYTES,
    };
  }

  /**
   * Puts files behind what is there, in this order.
   * @throws ServeError FILL_TWICE for a path that is there and was not released; FILL_STOPPED
   */
  add(files: readonly FillFile[]): void {
    if (this.#isStopped) throw failure('FILL_STOPPED', 'nothing is filled any more');
    for (const file of files) {
      if (this.#files.has(file.path)) throw failure('FILL_TWICE', `${file.path} is being filled already`);
      const filled = new FilledFile(file, this.#options.chunkBytes);
      this.#files.set(file.path, filled);
      this.#order.add(filled, filled.chunkCount, (chunk) => filled.has(chunk));
      this.#charge(filled, filled.fetchedBytes);
      if (filled.isFull) this.#track(this.#end(filled, null));
    }
    this.#pump();
  }

  /** Puts a file ahead of all that nobody asked for, behind those asked for before. Nothing for a path that is not there. */
  prioritise(path: string): void {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#order.ask(file, false);
    this.#pump();
  }

  /**
   * Waits for a part of a file, which comes before all whole files.
   * @throws what the source says; ServeError FILL_UNKNOWN, FILL_RELEASED, FILL_STOPPED; the signal's reason
   */
  async whenRange(path: string, range: ByteRange, signal: AbortSignal): Promise<void> {
    const file = this.#find(path);
    const [first, last] = file.chunksOf(range);
    this.#order.want(file, first, last);
    this.#pump();
    await file.whenChunks(first, last, signal);
  }

  /** Waits for a whole file, which has its place among those that were asked for. Throws as `whenRange` does. */
  async whenFile(path: string, signal: AbortSignal): Promise<void> {
    const file = this.#find(path);
    this.#order.ask(file, true);
    this.#pump();
    await file.whenDone(signal);
  }

  /**
   * Forgets a file: its bytes count no more, what has not come is not fetched, and whoever waits is told. Nothing for a path
   * that is not there.
   */
  release(path: string): void {
    const file = this.#files.get(path);
    if (file === undefined) return;
    this.#files.delete(path);
    this.#giveUp(file, failure('FILL_RELEASED', `${path} was given up before all of it had come`));
    this.#charge(file, -file.chargedBytes);
    this.#pump();
  }

  /** Of the files that are not released. */
  get progress(): FillProgress {
    const files = [...this.#files.values()];
    const sinceMs = this.#transfers === 0 ? 0 : performance.now() - this.#activeSinceMs;
    const activeMs = this.#activeMs + sinceMs;
    return {
      fetchedBytes: files.reduce((sum, file) => sum + file.fetchedBytes, 0),
      totalBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
      bytesPerSecond: activeMs === 0 ? 0 : Math.round((this.#receivedBytes / activeMs) * 1000),
    };
  }

  /** Ends all requests and rejects whoever waits; the source stays open. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const file of this.#files.values())
      this.#giveUp(file, failure('FILL_STOPPED', `${file.path} did not come: what fetches it was stopped`));
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #find(path: string): FilledFile {
    const file = this.#files.get(path);
    if (file !== undefined) return file;
    throw failure('FILL_UNKNOWN', `${path} is none of the files that are filled`);
  }

  #charge(file: FilledFile, bytes: number): void {
    file.chargedBytes += bytes;
    this.#chargedBytes += bytes;
  }

  /** Begins what there is room for. */
  #pump(): void {
    const { connections, chunkBytes, budgetBytes } = this.#options;
    const room = (budgetBytes ?? Number.POSITIVE_INFINITY) - chunkBytes;
    while (!this.#isStopped && this.#transfers < connections) {
      const turn = this.#order.take(this.#chargedBytes <= room);
      if (turn === null) return;
      this.#charge(turn.file, turn.file.rangeOf(turn.chunk).length);
      if (this.#transfers === 0) this.#activeSinceMs = performance.now();
      this.#transfers += 1;
      this.#track(this.#fetch(turn).finally(() => this.#leave()));
    }
  }

  #leave(): void {
    this.#transfers -= 1;
    if (this.#transfers === 0) this.#activeMs += performance.now() - this.#activeSinceMs;
    this.#pump();
  }

  async #fetch({ file, chunk }: Turn<FilledFile>): Promise<void> {
    const range = file.rangeOf(chunk);
    const onBytes = (count: number): void => {
      file.count(chunk, count);
      this.#receivedBytes += count;
    };
    try {
      const asked = file.remote.hasRanges ? range : null;
      const end = await file.write((fd) => {
        file.signal.throwIfAborted();
        const target = { fd, position: range.offset };
        return this.#source.readInto(file.remote, asked, target, { signal: file.signal, onBytes });
      });
      if (end !== range.offset + range.length) throw otherSize(file, end);
      if (!file.isOpen) return;
      file.add(chunk);
      this.#options.onChunk?.(file.path, range);
      if (file.isFull) await this.#end(file, null);
    } catch (error) {
      this.#order.drop(file);
      if (file.abandon(error)) await this.#end(file, error as Error);
    }
  }

  /** Tells the owner, and then all who wait. */
  async #end(file: FilledFile, error: Error | null): Promise<void> {
    try {
      await this.#options.onFile?.(file.path, error);
      file.settle(error === null ? null : { error });
    } catch (thrown) {
      file.settle({ error: error ?? thrown });
    }
  }

  #giveUp(file: FilledFile, error: ServeError): void {
    this.#order.drop(file);
    file.abandon(error);
    file.settle({ error });
  }

  /** @param work never rejects */
  #track(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }
}

function failure(code: string, message: string): ServeError {
  return new ServeError(message, { code });
}

function otherSize(file: FilledFile, foundBytes: number): SourceError {
  return new SourceError(
    `${file.remote.key}: the server sent ${foundBytes} bytes and had announced ${file.sizeBytes}`,
    { code: 'SOURCE_CHANGED' },
  );
}
