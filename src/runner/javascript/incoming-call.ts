import type { RequestHead } from '../../channel/messages.ts';
import type { CallContent, RequestBytes } from './thread-calls.ts';

const decoder = new TextDecoder();
const NOT_ASCII = /[\u0080-\u00ff]/;

/** A call as it came to the thread. Everything is made when it is looked at first: few classes look at all of it. */
export class IncomingCall {
  readonly #headText: string;
  #body: RequestBytes;
  #head: RequestHead | null = null;
  #abort: AbortController | null = null;
  #cancelled: Error | null = null;
  /** how long it was in user code by now */
  userMs = 0;

  constructor(content: CallContent) {
    this.#headText = content.headText;
    this.#body = content.body;
  }

  get head(): RequestHead {
    this.#head ??= JSON.parse(this.#headText) as RequestHead;
    return this.#head;
  }

  /** Whether the ingress wants to know how long it was in user code; the head need not be parsed for that. */
  get isTimed(): boolean {
    return this.#headText.endsWith('"timed":true}');
  }

  get hasBody(): boolean {
    return this.#body.length > 0;
  }

  /** The body; always the same array, in memory of its own. */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (typeof this.#body === 'string') this.#body = bytesOf(this.#body);
    return this.#body;
  }

  /** The body as UTF-8. */
  get text(): string {
    if (typeof this.#body === 'string' && !NOT_ASCII.test(this.#body)) return this.#body;
    return decoder.decode(this.bytes);
  }

  get signal(): AbortSignal {
    if (this.#abort === null) {
      this.#abort = new AbortController();
      if (this.#cancelled !== null) this.#abort.abort(this.#cancelled);
    }
    return this.#abort.signal;
  }

  get isCancelled(): boolean {
    return this.#cancelled !== null;
  }

  /** Nobody reads the answer any more. */
  cancel(): void {
    this.#cancelled ??= new Error('the request was cancelled: nobody reads its answer');
    this.#abort?.abort(this.#cancelled);
  }
}

/** @param text a character for each byte */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length);
  Buffer.from(bytes.buffer).write(text, 'latin1');
  return bytes;
}
