/** Grants are sent in portions of this size, not for every frame. */
const GRANT_BYTES = 512 * 1024;

/**
 * Collects the frames of one request body. The sender is granted more as they come: user code gets the body whole, and how large it may be
 * is the ingress' to limit.
 */
export class RequestBody {
  readonly #grant: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #sizeBytes = 0;
  #ungrantedBytes = 0;

  /** @param grant lets the sender send so many bytes more */
  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#sizeBytes += chunk.length;
    this.#ungrantedBytes += chunk.length;
    if (this.#ungrantedBytes < GRANT_BYTES) return;
    this.#grant(this.#ungrantedBytes);
    this.#ungrantedBytes = 0;
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
