import { ServeError } from '../lib/errors.ts';
import type { MemoryPart, ObjectMemory } from './object-memory.ts';

/** Where the bytes of an object from an offset on lie. */
export interface ObjectView {
  /** a file whose bytes, once they are there, never change; it may be gone when it is opened: then it is asked for again */
  readonly path: string;
  /** where in the object the file begins */
  readonly base: number;
  /** where in the object the file ends */
  readonly end: number;
  /** up to here in the object its bytes are there */
  readonly ready: number;
}

/** An object that is being fetched into memory. */
export class OpenedObject {
  readonly uri: string;
  readonly sizeBytes: number;
  readonly #memory: ObjectMemory;
  readonly #parts: readonly MemoryPart[];
  readonly #partBytes: number;
  readonly #closed = new AbortController();

  /** @param parts all of the same size, the last may be smaller */
  constructor(
    { uri, sizeBytes, partBytes }: { uri: string; sizeBytes: number; partBytes: number },
    parts: readonly MemoryPart[],
    memory: ObjectMemory,
  ) {
    this.uri = uri;
    this.sizeBytes = sizeBytes;
    this.#partBytes = partBytes;
    this.#parts = parts;
    this.#memory = memory;
  }

  /**
   * Waits for bytes of the object.
   * @param length as many of them as lie in one file are waited for
   * @throws what the store says; ServeError CONNECTOR_CLOSED, CONNECTOR_MEMORY; the signal's reason
   */
  async locate(offset: number, length: number, signal: AbortSignal): Promise<ObjectView> {
    const index = Math.max(0, Math.min(Math.floor(offset / this.#partBytes), this.#parts.length - 1));
    const part = this.#parts[index];
    if (part === undefined || this.#closed.signal.aborted) throw closed(this.uri);
    const base = index * this.#partBytes;
    const range = { offset: offset - base, length: Math.min(length, base + part.sizeBytes - offset) };
    const held = await this.#memory.obtain(part, range, AbortSignal.any([signal, this.#closed.signal]));
    return { path: held.path, base, end: base + part.sizeBytes, ready: base + held.readyBytes };
  }

  /**
   * Waits for the whole object, which stays in memory until it is closed. @returns the file that it is
   * @throws ServeError CONNECTOR_TOO_LARGE where it has no single file; what `locate` throws
   */
  async whole(signal: AbortSignal): Promise<string> {
    const [part, ...others] = this.#parts;
    if (part === undefined || this.#closed.signal.aborted) throw closed(this.uri);
    if (others.length > 0) {
      throw new ServeError(
        `${this.uri} has ${this.sizeBytes} bytes: too many to be in memory as one file, of which there are ${this.#memory.limitBytes} bytes for all; read it in parts, or set prefetch.memoryBytes to at least twice its size`,
        { code: 'CONNECTOR_TOO_LARGE' },
      );
    }
    return await this.#memory.pin(part, AbortSignal.any([signal, this.#closed.signal]));
  }

  /** What lies around this offset was read to its end, and is not needed for now. */
  spend(offset: number): void {
    const part = this.#parts[Math.floor(offset / this.#partBytes)];
    if (part !== undefined && !this.#closed.signal.aborted) this.#memory.spend(part);
  }

  /** Gives its memory back; who waits for it is told. Idempotent. */
  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(closed(this.uri));
    this.#memory.remove(this.#parts);
  }
}

function closed(uri: string): ServeError {
  return new ServeError(`${uri} is closed, or its connector is`, { code: 'CONNECTOR_CLOSED' });
}
