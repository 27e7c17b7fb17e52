import type { FrameConnection } from '../../channel/connection.ts';
import { FLAG_END, FrameType, INITIAL_WINDOW_BYTES, MAX_PAYLOAD_BYTES } from '../../channel/frames.ts';
import type { AnswerBytes } from './thread-calls.ts';

/** What is being sent. */
interface Portion {
  readonly bytes: Uint8Array;
  /** END on its last frame */
  readonly end: boolean;
  readonly onSent: () => void;
}

/** Sends the data of one stream as its window allows. */
export class StreamWriter {
  readonly #connection: FrameConnection;
  readonly #stream: number;
  #windowBytes = INITIAL_WINDOW_BYTES;
  #closed = false;
  /** bounded by whoever makes them: the first is being sent */
  readonly #portions: Portion[] = [];
  /** of the first */
  #offset = 0;

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
    this.#pump();
  }

  /** Nothing is sent on this stream any more; what has not left is dropped. */
  close(): void {
    this.#closed = true;
    this.#portions.length = 0;
  }

  /**
   * Sends a portion behind those before, with END on its last frame if `end`. How long that takes is the peer's to bound: its deadline
   * cancels the stream.
   * @param onSent called when all is with the connection, perhaps at once; never once the writer is closed
   */
  write(chunk: AnswerBytes, end: boolean, onSent: () => void): void {
    if (typeof chunk === 'string' && this.#portions.length === 0) {
      const sizeBytes = Buffer.byteLength(chunk);
      if (sizeBytes <= Math.min(this.#windowBytes, MAX_PAYLOAD_BYTES)) {
        this.#windowBytes -= sizeBytes;
        this.#connection.sendText(FrameType.data, end ? FLAG_END : 0, this.#stream, chunk);
        onSent();
        return;
      }
    }
    this.#portions.push({ bytes: typeof chunk === 'string' ? Buffer.from(chunk) : chunk, end, onSent });
    if (this.#portions.length === 1) this.#pump();
  }

  #pump(): void {
    for (let [portion] = this.#portions; portion !== undefined; [portion] = this.#portions) {
      if (!this.#send(portion)) return;
      this.#portions.shift();
      this.#offset = 0;
      portion.onSent();
    }
  }

  /** False: the window is used up. */
  #send({ bytes, end }: Portion): boolean {
    while (this.#offset < bytes.length && this.#windowBytes > 0) {
      const part = bytes.subarray(
        this.#offset,
        this.#offset + Math.min(this.#windowBytes, MAX_PAYLOAD_BYTES),
      );
      this.#offset += part.length;
      this.#windowBytes -= part.length;
      const flags = end && this.#offset === bytes.length ? FLAG_END : 0;
      this.#connection.send(FrameType.data, flags, this.#stream, part);
    }
    if (end && bytes.length === 0) this.#connection.send(FrameType.data, FLAG_END, this.#stream);
    return this.#offset === bytes.length;
  }
}
