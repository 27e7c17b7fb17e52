import { ChannelError } from '../../channel/errors.ts';
import { INITIAL_WINDOW_BYTES } from '../../channel/frames.ts';

/** Collects the frames of one request body, and grants the sender more as they come: user code gets the body whole. */
export class RequestBody {
  readonly #grant: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #sizeBytes = 0;
  #windowBytes = INITIAL_WINDOW_BYTES;

  /** @param grant lets the sender send so many bytes more */
  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
  }

  /** @throws ChannelError CHANNEL_PROTOCOL when the sender overruns its window */
  push(chunk: Uint8Array): void {
    this.#windowBytes -= chunk.length;
    if (this.#windowBytes < 0) {
      throw new ChannelError('CHANNEL_PROTOCOL', `a body overruns its window by ${-this.#windowBytes} bytes`);
    }
    this.#chunks.push(chunk);
    this.#sizeBytes += chunk.length;
    if (this.#windowBytes > INITIAL_WINDOW_BYTES / 2) return; // in portions, not for every frame
    this.#grant(INITIAL_WINDOW_BYTES - this.#windowBytes);
    this.#windowBytes = INITIAL_WINDOW_BYTES;
  }

  /** The whole body in memory of its own, which can be transferred to a thread. */
  take(): Uint8Array<ArrayBuffer> {
    const body = new Uint8Array(this.#sizeBytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      body.set(chunk, offset);
      offset += chunk.length;
    }
    this.#chunks = [];
    return body;
  }
}
