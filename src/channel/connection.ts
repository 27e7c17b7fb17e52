import type { Socket } from 'node:net';
import { FrameBatch } from './frame-batch.ts';
import { encodeHeader, type Frame, FrameDecoder, type FrameType } from './frames.ts';

/** Payloads above this go to the kernel as they are: a second element of the vector costs less than the copy. */
const COPY_LIMIT_BYTES = 4096;

export interface ConnectionHandlers {
  readonly onFrame: (frame: Frame) => void;
  /** once, whatever ended it; null when the peer closed in order */
  readonly onClose: (error: Error | null) => void;
}

/**
 * Frames over a socket (Unix or TCP). Writes of one tick leave in one system call. Owns the socket from construction
 * to close; flow control is per stream (windows), above this class.
 */
export class FrameConnection {
  readonly #socket: Socket;
  readonly #onFrame: (frame: Frame) => void;
  readonly #decoder = new FrameDecoder();
  readonly #flush = () => this.#flushNow();
  /** small frames of this tick, not yet given to the socket; null while there are none */
  #batch: FrameBatch | null = null;
  #isFlushDue = false;
  #closed = false;
  #error: Error | null = null;

  constructor(socket: Socket, handlers: ConnectionHandlers) {
    this.#socket = socket;
    this.#onFrame = (frame) => {
      if (!this.#closed) handlers.onFrame(frame);
    };
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('error', (error) => {
      this.#error ??= error;
    });
    socket.on('close', () => {
      this.#closed = true;
      handlers.onClose(this.#error);
    });
  }

  get isOpen(): boolean {
    return !this.#closed && this.#socket.writable;
  }

  /** Takes bytes that were read from the socket by somebody else (see dial), who does not change them afterwards. */
  receive(chunk: Buffer): void {
    try {
      this.#decoder.push(chunk, this.#onFrame);
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error));
      this.#socket.destroy();
    }
  }

  /** Bytes accepted but not yet taken by the kernel: what a slow peer makes us hold. */
  get bufferedBytes(): number {
    return this.#socket.writableLength + (this.#batch?.length ?? 0);
  }

  /**
   * Sends a frame. A large payload is not copied: it must not change afterwards. Does nothing when the connection is
   * closed (its owner hears of that by onClose).
   */
  send(type: FrameType, flags: number, stream: number, payload?: Uint8Array): void {
    if (!this.isOpen) return;
    this.#flushSoon();
    const length = payload?.length ?? 0;
    if (payload === undefined || length <= COPY_LIMIT_BYTES) {
      this.#roomFor(length).add(type, flags, stream, payload);
      return;
    }
    this.#handOver();
    this.#socket.write(encodeHeader(type, flags, stream, length));
    this.#socket.write(payload);
  }

  sendJson(type: FrameType, flags: number, stream: number, value: unknown): void {
    this.sendText(type, flags, stream, JSON.stringify(value));
  }

  /** Sends a frame whose payload is this text, in UTF-8. */
  sendText(type: FrameType, flags: number, stream: number, text: string): void {
    const mostBytes = text.length * 3;
    if (mostBytes > COPY_LIMIT_BYTES) {
      this.send(type, flags, stream, Buffer.from(text));
      return;
    }
    if (!this.isOpen) return;
    this.#flushSoon();
    this.#roomFor(mostBytes).addText(type, flags, stream, text);
  }

  /** Ends the connection; what was sent before still leaves. */
  end(): void {
    if (this.#closed) return;
    this.#handOver();
    this.#socket.end();
  }

  /** Cuts the connection; `error` is what onClose tells, unless something went wrong before. */
  destroy(error?: Error): void {
    if (error !== undefined) this.#error ??= error;
    this.#socket.destroy();
  }

  #roomFor(payloadBytes: number): FrameBatch {
    if (this.#batch?.hasRoomFor(payloadBytes) === false) this.#handOver();
    this.#batch ??= FrameBatch.take();
    return this.#batch;
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    process.nextTick(this.#flush);
  }

  #flushNow(): void {
    this.#isFlushDue = false;
    this.#handOver();
    if (this.#socket.writableCorked > 0) this.#socket.uncork();
  }

  /** Gives what is batched to the socket, which holds it until the end of the tick if more is to come. */
  #handOver(): void {
    const batch = this.#batch;
    const socket = this.#socket;
    if (this.#isFlushDue && socket.writableCorked === 0) socket.cork();
    if (batch === null) return;
    this.#batch = null;
    socket.write(batch.bytes);
    // nothing is left over: the kernel has copied it
    if (socket.writableLength === 0) batch.giveBack();
  }
}
