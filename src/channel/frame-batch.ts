import { type FrameType, HEADER_BYTES, writeHeader } from './frames.ts';

const CAPACITY_BYTES = 16 * 1024;
/** What one tick of a busy process uses at once; more would only lie about. */
const MOST_SPARE = 16;

/**
 * Small frames, one behind the other in one buffer: one write for the socket, and no buffer for each frame. Buffers are
 * shared by all connections of the process, since each is needed only within a tick.
 */
export class FrameBatch {
  static readonly #spare: FrameBatch[] = [];
  readonly #buffer = Buffer.allocUnsafeSlow(CAPACITY_BYTES);
  #length = 0;

  /** An empty one. */
  static take(): FrameBatch {
    return FrameBatch.#spare.pop() ?? new FrameBatch();
  }

  get length(): number {
    return this.#length;
  }

  /** The frames so far; a view, to be used before `giveBack`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  hasRoomFor(payloadBytes: number): boolean {
    return this.#length + HEADER_BYTES + payloadBytes <= CAPACITY_BYTES;
  }

  add(type: FrameType, flags: number, stream: number, payload?: Uint8Array): void {
    const length = payload?.length ?? 0;
    if (payload !== undefined) this.#buffer.set(payload, this.#length + HEADER_BYTES);
    this.#head(type, flags, stream, length);
  }

  /** @param text takes at most 3 bytes for each of its units */
  addText(type: FrameType, flags: number, stream: number, text: string): void {
    this.#head(type, flags, stream, this.#buffer.write(text, this.#length + HEADER_BYTES));
  }

  /** For others; it must not be used afterwards. */
  giveBack(): void {
    this.#length = 0;
    if (FrameBatch.#spare.length < MOST_SPARE) FrameBatch.#spare.push(this);
  }

  #head(type: FrameType, flags: number, stream: number, length: number): void {
    writeHeader(this.#buffer, this.#length, { type, flags, stream, length });
    this.#length += HEADER_BYTES + length;
  }
}
