import { MAX_PAYLOAD_BYTES } from '../../channel/frames.ts';
import type { ResponseHead } from '../../channel/messages.ts';
import { type Answer, describe, failureAnswer, failureText } from './answer.ts';
import type { ChunkSource, Portion } from './chunk-source.ts';
import { UnencodableError } from './encode-json.ts';
import { IncomingCall } from './incoming-call.ts';
import { noteFailure, noteThrown } from './note.ts';
import type { AnswerBytes, AnswerPart, CallReply, GivenCall } from './thread-calls.ts';

/** The last part of an answer that nobody reads. */
export const NOTHING_MORE: AnswerPart = { headText: null, chunk: '', more: false, failure: null };

/** So many portions of a stream may be made before the reader has taken one: the thread does not wait for a message between two. */
const MOST_PORTIONS = 4;

/** The call that a thread is at, from when it has begun until its answer is over. */
export class RunningCall {
  readonly slot: number;
  readonly incoming: IncomingCall;
  readonly #post: (reply: CallReply) => void;
  /** the rest of an answer that is streamed */
  #rest: ChunkSource | null = null;
  #portionsAllowed = MOST_PORTIONS;
  #isStreaming = false;
  #onOver: () => void = noop;

  constructor(given: GivenCall, post: (reply: CallReply) => void) {
    this.slot = given.slot;
    this.incoming = new IncomingCall(given);
    this.#post = post;
  }

  /** Sends the answer. Where it is streamed, resolves only when the stream is over. */
  answer(answer: Answer): Promise<void> | null {
    if ('body' in answer) {
      this.#reply(this.#begin(answer.head, answer.body, false));
      return null;
    }
    this.#rest = answer.rest;
    const over = new Promise<void>((resolve) => {
      this.#onOver = resolve;
    });
    const first = this.#begin(answer.head, answer.first, true);
    if (this.incoming.isCancelled || !first.more) void this.#close(first);
    else {
      this.#portionsAllowed -= 1;
      this.#reply(first);
      void this.#stream();
    }
    return over;
  }

  /** The reader has taken a portion of a stream: there may be one more. */
  next(): void {
    this.#portionsAllowed += 1;
    if (!this.#isStreaming) void this.#stream();
  }

  /** Best effort: user code that does not look at `request.signal` runs to its end. */
  cancel(): void {
    this.incoming.cancel();
    if (this.#rest !== null) void this.#close(NOTHING_MORE);
  }

  async #stream(): Promise<void> {
    this.#isStreaming = true;
    while (this.#rest !== null && this.#portionsAllowed > 0) {
      this.#portionsAllowed -= 1;
      await this.#sendPortion(this.#rest);
    }
    this.#isStreaming = false;
  }

  async #sendPortion(rest: ChunkSource): Promise<void> {
    const beganMs = performance.now();
    const portion = await rest.next();
    this.incoming.userMs += performance.now() - beganMs;
    if (this.#rest === null) return; // cancelled meanwhile
    if (!portion.done) {
      this.#reply({ headText: null, chunk: portion.bytes, more: true, failure: null });
      return;
    }
    this.#rest = null;
    this.#end(this.#lastPart(portion, rest));
  }

  /** Ends the generator, and then the call. */
  async #close(last: AnswerPart): Promise<void> {
    const rest = this.#rest;
    this.#rest = null;
    try {
      await rest?.close();
    } catch (error) {
      noteThrown(`request ${this.incoming.head.id} was cancelled, and its stream failed`, error);
    }
    this.#end({ ...last, more: false });
  }

  #end(last: AnswerPart): void {
    this.#reply(last);
    this.#onOver();
  }

  #reply(part: AnswerPart): void {
    this.#post({ slot: this.slot, ...part });
  }

  /** The first part; an error in its place when the head is too large for a frame. */
  #begin(head: ResponseHead, chunk: AnswerBytes, more: boolean): AnswerPart {
    const { isTimed, userMs } = this.incoming;
    const headText = JSON.stringify(isTimed ? { ...head, user_us: Math.round(userMs * 1000) } : head);
    if (fitsInFrame(headText)) return { headText, chunk, more, failure: null };
    const sizeBytes = Buffer.byteLength(headText);
    const tooLarge = `headers of ${sizeBytes} bytes are over the limit of ${MAX_PAYLOAD_BYTES}`;
    const refused = failureAnswer(new UnencodableError(tooLarge), this.incoming);
    return { headText: JSON.stringify(refused.head), chunk: refused.body, more: false, failure: null };
  }

  #lastPart(portion: Portion, rest: ChunkSource): AnswerPart {
    if (!('failure' in portion)) return { headText: null, chunk: portion.bytes, more: false, failure: null };
    const { head } = this.incoming;
    noteFailure(head.id, portion.failure);
    const told = rest.layout.failure(failureText(portion.failure, head));
    const chunk = new Uint8Array(Buffer.concat([portion.bytes, told]));
    return { headText: null, chunk, more: false, failure: describe(portion.failure) };
  }
}

function fitsInFrame(text: string): boolean {
  return text.length * 3 <= MAX_PAYLOAD_BYTES || Buffer.byteLength(text) <= MAX_PAYLOAD_BYTES;
}

function noop(): void {
  // nobody waits for its end
}
