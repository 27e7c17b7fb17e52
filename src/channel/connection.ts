import type { Socket } from 'node:net';
import { encodeFrame, encodeHeader, type Frame, FrameDecoder, type FrameType } from './frames.ts';

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
  readonly #decoder = new FrameDecoder();
  #corked = false;
  #closed = false;
  #error: Error | null = null;

  constructor(socket: Socket, handlers: ConnectionHandlers) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#decoder.push(chunk, (frame) => {
          if (!this.#closed) handlers.onFrame(frame);
        });
      } catch (error) {
        this.#error = error instanceof Error ? error : new Error(String(error));
        socket.destroy();
      }
    });
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

  /** Bytes accepted but not yet taken by the kernel: what a slow peer makes us hold. */
  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  /**
   * Sends a frame. A large payload is not copied: it must not change afterwards. Does nothing when the connection is
   * closed (its owner hears of that by onClose).
   */
  send(type: FrameType, flags: number, stream: number, payload?: Uint8Array): void {
    if (!this.isOpen) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    if (payload === undefined || payload.length <= COPY_LIMIT_BYTES) {
      this.#socket.write(encodeFrame(type, flags, stream, payload));
      return;
    }
    this.#socket.write(encodeHeader(type, flags, stream, payload.length));
    this.#socket.write(payload);
  }

  sendJson(type: FrameType, flags: number, stream: number, value: unknown): void {
    this.send(type, flags, stream, Buffer.from(JSON.stringify(value)));
  }

  /** Ends the connection; what was sent before still leaves. */
  end(): void {
    if (!this.#closed) this.#socket.end();
  }

  /** Cuts the connection; `error` is what onClose tells, unless something went wrong before. */
  destroy(error?: Error): void {
    if (error !== undefined) this.#error ??= error;
    this.#socket.destroy();
  }
}
