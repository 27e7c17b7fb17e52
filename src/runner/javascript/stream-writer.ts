import type { FrameConnection } from '../../channel/connection.ts';
import { FLAG_END, FrameType, INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from '../../channel/frames.ts';

/** Sends the data of one stream as its window allows. Who closes it sets a waiting write free. */
export class StreamWriter {
  readonly #connection: FrameConnection;
  readonly #stream: number;
  #windowBytes = INITIAL_WINDOW_BYTES;
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(connection: FrameConnection, stream: number) {
    this.#connection = connection;
    this.#stream = stream;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** The peer takes so many bytes more. */
  grant(bytes: number): void {
    this.#windowBytes += bytes;
    this.#wakeUp();
  }

  /** Nothing is sent on this stream any more. */
  close(): void {
    this.#closed = true;
    this.#wakeUp();
  }

  /**
   * Sends bytes, with END on the last frame if `end`; resolves when all are with the connection, or the stream is closed. How long
   * that takes is the peer's to bound: its deadline cancels the stream.
   */
  async write(bytes: Uint8Array, end: boolean): Promise<void> {
    let offset = 0;
    do {
      while (this.#windowBytes === 0 && offset < bytes.length && !this.#closed) await this.#woken();
      if (this.#closed) return;
      const size = Math.min(bytes.length - offset, this.#windowBytes, MAX_PAYLOAD_BYTES);
      const part = bytes.subarray(offset, offset + size);
      offset += size;
      this.#windowBytes -= size;
      const flags = end && offset === bytes.length ? FLAG_END : 0;
      if (size > 0 || flags !== 0) this.#connection.send(FrameType.data, flags, this.#stream, part);
    } while (offset < bytes.length);
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
