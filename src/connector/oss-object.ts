import { type FileHandle, open } from 'node:fs/promises';
import { codeOf } from '../lib/errors.ts';
import type { ObjectView, OpenedObject } from './opened-object.ts';

/** Of a single read; what is longer comes in several, so that the first bytes can be used before the last are there. */
const MOST_BYTES = 64 * 1024 ** 2;
/** What was located may be gone when it is opened, where many want more memory than there is. */
const TRIES = 1000;

const collected = new FinalizationRegistry<() => Promise<void>>((release) => void release());

/**
 * An object as a file that is read: from memory where its bytes have come, else as soon as they come. Its memory is given back by `close`, or once
 * nobody refers to it any more.
 */
export class OssObject<Content extends Buffer | string = Buffer> {
  readonly uri: string;
  readonly #reader: ObjectReader;
  readonly #encode: (bytes: Buffer) => Content;
  #position = 0;

  /** @param encode text of bytes; it may keep some back */
  constructor(object: OpenedObject, encode: (bytes: Buffer) => Content) {
    const reader = new ObjectReader(object);
    this.uri = object.uri;
    this.#reader = reader;
    this.#encode = encode;
    collected.register(this, async () => await reader.close(), this);
  }

  /** In bytes. */
  get size(): number {
    return this.#reader.sizeBytes;
  }

  /** Where the next read begins, in bytes from the start. */
  tell(): number {
    return this.#position;
  }

  /**
   * @param whence 0: from the start, 1: from here, 2: from the end
   * @returns where the next read begins; behind the end it gives nothing
   * @throws RangeError before the start
   */
  seek(offset: number, whence: 0 | 1 | 2 = 0): number {
    const base = [0, this.#position, this.size][whence] ?? 0;
    const target = base + offset;
    if (!Number.isSafeInteger(target) || target < 0) {
      throw new RangeError(`seek to ${target}: expected a place from 0 on`);
    }
    this.#position = target;
    return target;
  }

  /**
   * @param size bytes; not given, or negative: all that is left
   * @returns fewer at the end alone, none behind it
   * @throws what the store says; ServeError CONNECTOR_CLOSED
   */
  async read(size = -1): Promise<Content> {
    const left = Math.max(0, this.size - this.#position);
    const buffer = Buffer.allocUnsafe(size < 0 ? left : Math.min(size, left));
    await this.readinto(buffer);
    return this.#encode(buffer);
  }

  /** Fills a buffer. @returns how many bytes there were, fewer than fit at the end alone. Throws as `read` does */
  async readinto(buffer: Uint8Array): Promise<number> {
    const count = Math.max(0, Math.min(buffer.length, this.size - this.#position));
    for (let done = 0; done < count; ) {
      const most = Math.min(count - done, MOST_BYTES);
      const read = await this.#reader.read(buffer.subarray(done, done + most), this.#position);
      done += read;
      this.#position += read;
    }
    return count;
  }

  /** Gives its memory back. Idempotent. */
  async close(): Promise<void> {
    collected.unregister(this);
    await this.#reader.close();
  }
}

/** Reads an opened object's files; knows nothing of who asks, so that it does not keep them from being collected. */
class ObjectReader {
  readonly #object: OpenedObject;
  readonly #never = new AbortController().signal;
  #view: (ObjectView & { readonly file: FileHandle }) | null = null;
  /** where what was read without a gap began, and ended */
  #run = { from: 0, to: 0 };

  constructor(object: OpenedObject) {
    this.#object = object;
  }

  get sizeBytes(): number {
    return this.#object.sizeBytes;
  }

  /** @returns how many bytes, at least one */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { file, base, end } = await this.#viewOf(position, buffer.length);
    const length = Math.min(buffer.length, end - position);
    const { bytesRead } = await file.read(buffer, 0, length, position - base);
    if (bytesRead < length) throw new Error(`${this.#object.uri}: its file in memory was cut`);
    this.#run = { from: this.#run.to === position ? this.#run.from : position, to: position + bytesRead };
    // Archives are read from their end first: that alone does not say that the rest is not needed.
    if (this.#run.to === end && end - Math.max(this.#run.from, base) >= (end - base) / 2) {
      await this.#drop();
      this.#object.spend(position);
    }
    return bytesRead;
  }

  async close(): Promise<void> {
    this.#object.close();
    await this.#drop();
  }

  /** A file that has the bytes, and all of those asked for that it is to have. */
  async #viewOf(position: number, length: number): Promise<ObjectView & { readonly file: FileHandle }> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const known = this.#view;
      if (known !== null && isReady(known, position, length)) return known;
      const view = await this.#object.locate(position, length, this.#never);
      if (this.#view?.path === view.path) {
        this.#view = { ...view, file: this.#view.file };
        continue;
      }
      await this.#drop();
      try {
        this.#view = { ...view, file: await open(view.path, 'r') };
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error; // it made room for others meanwhile
      }
    }
    throw new Error(`${this.#object.uri}: its file in memory is gone, again and again`);
  }

  async #drop(): Promise<void> {
    const view = this.#view;
    this.#view = null;
    await view?.file.close();
  }
}

function isReady(view: ObjectView, position: number, length: number): boolean {
  return position >= view.base && position < view.end && view.ready >= Math.min(position + length, view.end);
}
