/**
 * What the runner's main thread and the thread of an instance tell each other about calls, over a port of their own. Bodies
 * and heads are strings wherever they are small: with 8 under way, the messages of a call cost 3 µs in both threads together,
 * and 6 µs where body and answer are buffers of a few bytes.
 */
export type CallMessage =
  | ({ readonly kind: 'call' } & GivenCall)
  /** several calls as one, each with a whole answer */
  | { readonly kind: 'batch'; readonly calls: readonly GivenCall[] }
  /** the reader has taken a part of a streamed answer */
  | { readonly kind: 'next'; readonly slot: number }
  /** nobody reads the answer any more: aborts `request.signal` and ends a streamed answer */
  | { readonly kind: 'cancel'; readonly slot: number };

/** A call for a thread, which may begin it once it has taken the offer (see Offers). */
export interface GivenCall extends CallContent {
  /** where it is offered, and where replies go; free again after the last one, which also comes for a call that was withdrawn */
  readonly slot: number;
}

export interface CallContent {
  /** the JSON of a RequestHead, parsed where somebody looks at it */
  readonly headText: string;
  readonly body: RequestBytes;
}

/** A string has a character for each byte (latin1); it can be given twice. Bytes are transferred, and gone then. */
export type RequestBytes = string | Uint8Array<ArrayBuffer>;

/** A part of an answer; the first has its head. */
export interface CallReply extends AnswerPart {
  readonly slot: number;
}

export interface AnswerPart {
  /** the JSON of a ResponseHead, small enough for a frame; null when it was sent before */
  readonly headText: string | null;
  readonly chunk: AnswerBytes;
  /** false: the answer is over, and the thread is at the next call */
  readonly more: boolean;
  /** user code threw after its answer had begun; the chunk is the last that the client gets */
  readonly failure: string | null;
}

/** A string is sent as UTF-8. */
export type AnswerBytes = string | Uint8Array<ArrayBuffer>;

/** Bodies up to this size travel as strings: above, transferring is cheaper than copying. */
export const MOST_COPIED_BYTES = 16 * 1024;
