import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, ServeError } from '../lib/errors.ts';
import { Filler } from '../models/filling/filler.ts';
import type { ByteRange, ModelSource, RemoteFile } from '../models/sources/types.ts';
import { makeMemoryFolder, makeSparseFile } from './memory-folder.ts';
import { planMemory } from './memory-plan.ts';

export interface ObjectMemoryOptions {
  /** where the folder of this memory is made */
  readonly directory: string;
  /** most that is held at the same time */
  readonly limitBytes: number;
  /** requests at once */
  readonly connections: number;
  /** what was held there is no more: whoever has the file open keeps its memory from others */
  readonly onEvict: (path: string) => void;
}

/** What several memories of a process hold together. */
export interface MemoryUse {
  usedBytes: number;
}

/** Where bytes of a part lie. */
export interface HeldRange {
  readonly path: string;
  /** the part's bytes up to here are there, counted from its start, if those before the range asked for are */
  readonly readyBytes: number;
}

/** A part of an object: in memory as a whole, or not at all. */
export interface MemoryPart {
  readonly sizeBytes: number;
}

interface Unit extends MemoryPart {
  readonly remote: RemoteFile;
  /** null: no memory is set aside for it */
  held: Held | null;
  waiters: number;
  isPinned: boolean;
  isSpent: boolean;
  lastUse: number;
}

interface Held {
  readonly path: string;
  /** by chunk */
  readonly ready: Uint8Array;
  hasFailed: boolean;
}

const CHUNK_BYTES = 8 * 1024 ** 2;

/**
 * Objects in files of a file system in memory, filled in the order in which they were opened, within a limit. Each time a part comes
 * into memory it gets a file of its own, so what somebody reads from a file that is open never changes.
 */
export class ObjectMemory {
  readonly folder: string;
  readonly #options: ObjectMemoryOptions;
  readonly #use: MemoryUse;
  readonly #filler: Filler;
  readonly #units = new Set<Unit>();
  readonly #heldOf = new Map<string, Held>();
  #files = 0;
  #uses = 0;
  #isClosed = false;

  /** @throws ServeError CONNECTOR_MEMORY where there is no place for it */
  constructor(source: ModelSource, options: ObjectMemoryOptions, use: MemoryUse) {
    this.#options = options;
    this.#use = use;
    this.folder = makeMemoryFolder(options.directory);
    this.#filler = new Filler(source, {
      ...{ connections: options.connections, chunkBytes: CHUNK_BYTES },
      onChunk: (path, range) => this.#heldOf.get(path)?.ready.fill(1, ...chunksOf(range)),
      onFile: (path, error) => {
        const held = this.#heldOf.get(path);
        if (held !== undefined) held.hasFailed = error !== null;
      },
    });
  }

  /** Most that is held at the same time. */
  get limitBytes(): number {
    return this.#options.limitBytes;
  }

  /** Puts parts behind those that are there; they are fetched as soon as there is room. */
  add(remotes: readonly RemoteFile[]): readonly MemoryPart[] {
    const units = remotes.map((remote): Unit => {
      const state = { held: null, waiters: 0, lastUse: 0, isPinned: false, isSpent: false };
      return { remote, sizeBytes: remote.sizeBytes ?? 0, ...state };
    });
    for (const unit of units) this.#units.add(unit);
    this.#plan();
    return units;
  }

  /**
   * Waits for a range of a part, which comes before all that nobody waits for.
   * @param range not beyond the end
   * @throws what the source says; ServeError CONNECTOR_CLOSED, CONNECTOR_MEMORY; the signal's reason
   */
  async obtain(part: MemoryPart, range: ByteRange, signal: AbortSignal): Promise<HeldRange> {
    return await this.#hold(part as Unit, async (held) => {
      if (range.length > 0) await this.#filler.whenRange(held.path, range, signal);
      return { path: held.path, readyBytes: readyBytes(held, range.offset, part.sizeBytes) };
    });
  }

  /**
   * Waits for all of a part, which stays where it is from then on.
   * @returns its file
   * @throws ServeError CONNECTOR_TOO_LARGE where it does not fit beside others that stay; what `obtain` throws
   */
  async pin(part: MemoryPart, signal: AbortSignal): Promise<string> {
    const others = [...this.#units].filter((unit) => unit.isPinned && unit !== part);
    const pinnedBytes = others.reduce((sum, unit) => sum + unit.sizeBytes, part.sizeBytes);
    if (pinnedBytes > this.limitBytes) throw tooLarge(pinnedBytes, this.limitBytes);
    (part as Unit).isPinned = true;
    return await this.#hold(part as Unit, async (held) => {
      await this.#filler.whenFile(held.path, signal);
      return held.path;
    });
  }

  /** It was read to its end: it makes room for others first, and comes again only when somebody asks. */
  spend(part: MemoryPart): void {
    (part as Unit).isSpent = true;
    this.#plan();
  }

  /** Forgets parts and gives their memory back. */
  remove(parts: readonly MemoryPart[]): void {
    for (const part of parts) {
      this.#units.delete(part as Unit);
      this.#evict(part as Unit);
    }
    this.#plan();
  }

  /** Ends all requests and removes all files. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filler.stop();
    this.remove([...this.#units]);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #hold<Result>(unit: Unit, work: (held: Held) => Promise<Result>): Promise<Result> {
    unit.waiters += 1;
    this.#uses += 1;
    unit.lastUse = this.#uses;
    unit.isSpent = false;
    try {
      if (unit.held?.hasFailed === true) this.#evict(unit); // asked for again, it is tried again
      this.#plan();
      const { held } = unit;
      if (held === null) throw closed();
      this.#filler.prioritise(held.path);
      return await work(held);
    } catch (error) {
      throw this.#units.has(unit) && !this.#isClosed ? this.#explain(error) : closed();
    } finally {
      unit.waiters -= 1;
    }
  }

  #plan(): void {
    if (this.#isClosed) return;
    const views = [...this.#units].map((unit) => ({ ...unit, isHeld: unit.held !== null, unit }));
    const plan = planMemory(views, this.#options.limitBytes - this.#use.usedBytes);
    for (const { unit } of plan.evict) this.#evict(unit);
    for (const { unit } of plan.admit) this.#admit(unit);
  }

  #admit(unit: Unit): void {
    this.#files += 1;
    const path = join(this.folder, String(this.#files));
    const held = { path, ready: new Uint8Array(Math.ceil(unit.sizeBytes / CHUNK_BYTES)), hasFailed: false };
    makeSparseFile(path, unit.sizeBytes);
    this.#use.usedBytes += unit.sizeBytes;
    unit.held = held;
    this.#heldOf.set(path, held);
    this.#filler.add([{ remote: unit.remote, path }]);
  }

  #evict(unit: Unit): void {
    const { held } = unit;
    if (held === null) return;
    unit.held = null;
    this.#use.usedBytes -= unit.sizeBytes;
    this.#heldOf.delete(held.path);
    this.#filler.release(held.path);
    rmSync(held.path, { force: true });
    this.#options.onEvict(held.path);
  }

  #explain(error: unknown): unknown {
    if (codeOf(error) !== 'ENOSPC') return error;
    return new ServeError(
      `${this.folder}: there is no room left in memory; close objects, set prefetch.memoryBytes lower, or name a larger folder as prefetch.directory`,
      { code: 'CONNECTOR_MEMORY' },
      { cause: error },
    );
  }
}

function chunksOf({ offset, length }: ByteRange): readonly [from: number, to: number] {
  return [Math.floor(offset / CHUNK_BYTES), Math.ceil((offset + length) / CHUNK_BYTES)];
}

/** What is there without a gap from an offset on, counted from the start of the part. */
function readyBytes({ ready }: Held, offset: number, sizeBytes: number): number {
  const missing = ready.indexOf(0, Math.floor(offset / CHUNK_BYTES));
  return missing < 0 ? sizeBytes : missing * CHUNK_BYTES;
}

function tooLarge(pinnedBytes: number, limitBytes: number): ServeError {
  return new ServeError(
    `${pinnedBytes} bytes were to stay in memory, of which there are ${limitBytes}; close objects, or set prefetch.memoryBytes higher`,
    { code: 'CONNECTOR_TOO_LARGE' },
  );
}

function closed(): ServeError {
  return new ServeError('the object is closed, or its connector is', { code: 'CONNECTOR_CLOSED' });
}
