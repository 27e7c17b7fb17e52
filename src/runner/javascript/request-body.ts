import { MOST_COPIED_BYTES, type RequestBytes } from './thread-calls.ts';

/** Grants are sent in portions of this size, not for every frame. */
const GRANT_BYTES = 512 * 1024;

/**
 * Collects the frames of one request body. The sender is granted more as they come: user code gets the body whole, and how large it may be
 * is the ingress' to limit.
 */
export class RequestBody {
  readonly #grant: (bytes: number) => void;
  #chunks: Buffer[] = [];
  #sizeBytes = 0;
  #ungrantedBytes = 0;

  /** @param grant lets the sender send so many bytes more */
  constructor(grant: (bytes: number) => void) {
    this.#grant = grant;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#sizeBytes += chunk.length;
    this.#ungrantedBytes += chunk.length;
    if (this.#ungrantedBytes < GRANT_BYTES) return;
    this.#grant(this.#ungrantedBytes);
    this.#ungrantedBytes = 0;
  }

  /** The whole body, as it can be sent to a thread. */
  take(): RequestBytes {
    const chunks = this.#chunks;
    this.#chunks = [];
    return this.#sizeBytes <= MOST_COPIED_BYTES ? asText(chunks) : joined(chunks, this.#sizeBytes);
  }
}

function asText(chunks: readonly Buffer[]): string {
  let text = '';
  for (const chunk of chunks) text += chunk.toString('latin1');
  return text;
}

/** In memory of its own. */
function joined(chunks: readonly Buffer[], sizeBytes: number): Uint8Array<ArrayBuffer> {
  const body = new Uint8Array(sizeBytes);
  let offset = 0;
  for (const chunk of chunks) {
    body.set(chunk, offset);
    offset += chunk.length;
  }
  return body;
}
