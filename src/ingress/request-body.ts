import type { IncomingMessage } from 'node:http';
import { INITIAL_WINDOW_BYTES } from '../channel/frames.ts';
import type { ClientStream } from '../channel/streams.ts';
import type { ByteBudget } from './byte-budget.ts';
import { ChunkList } from './chunk-list.ts';

/**
 * Bodies up to this are kept until the first byte of the answer, so that another replica can get them. As much as a
 * window: so what is kept can always be sent at once, and a replica that got it has a reason to ask for more.
 */
const KEPT_BODY_BYTES = INITIAL_WINDOW_BYTES;

/** How long the rest of a body is still read after its answer, so that the client gets to read that answer. */
const LINGER_MS = 2_000;

export interface BodyRules {
  /** of the whole body */
  readonly maxBytes: number;
  /** of all bodies that are kept */
  readonly budget: ByteBudget;
}

/**
 * complete: all of it is here; cut-through: it is larger than what is kept, the rest follows as the replica takes it;
 * no-room: the budget is spent; too-large: over the limit, which may also turn out after `cut-through`.
 */
export type Gathered = 'complete' | 'cut-through' | 'too-large' | 'no-room';

/**
 * The body of one request on its way from the client's socket to a replica. Small ones are gathered first, so that a
 * slow client holds no place at a replica and a death costs nothing. Of large ones the beginning is gathered and held until
 * the replica asks for more: until then it may still refuse.
 */
export class RequestBody {
  readonly #source: IncomingMessage;
  readonly rules: BodyRules;
  /** what may be needed again, or was not sent yet */
  readonly #chunks = new ChunkList();
  #budgetedBytes = 0;
  #totalBytes = 0;
  #isComplete: boolean;
  #mode: 'gathering' | 'cut-through' | 'discarded' = 'gathering';
  #isHeld = true;
  #stream: ClientStream | null = null;
  /** how much of the chunks has gone to the stream */
  #sentBytes = 0;

  constructor(source: IncomingMessage, rules: BodyRules) {
    this.#source = source;
    this.rules = rules;
    this.#isComplete = !hasBody(source);
  }

  /** There is none. */
  get isEmpty(): boolean {
    return this.#isComplete && this.#totalBytes === 0;
  }

  /** Nothing of it is read at the moment. */
  get isPaused(): boolean {
    return this.#source.isPaused();
  }

  get receivedBytes(): number {
    return this.#totalBytes;
  }

  /** All that was sent is still here: it can be sent to another replica. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Whether it may be given to another replica after one died with it. */
  get isReplayable(): boolean {
    return this.#isHeld && this.#mode === 'gathering';
  }

  /** Reads as much as is kept, then tells, at once where there is no body. */
  gather(onGathered: (outcome: Gathered) => void): void {
    if (this.#isComplete) {
      onGathered('complete');
      return;
    }
    this.#source.on('data', (chunk: Buffer) => {
      const outcome = this.#take(chunk);
      if (outcome !== null) onGathered(outcome);
    });
    this.#source.on('end', () => {
      this.#isComplete = true;
      if (this.#mode === 'cut-through') this.#flow();
      else if (this.#mode === 'gathering') onGathered('complete');
    });
  }

  /** Sends it, from its first byte. Only while `isHeld`. */
  deliver(stream: ClientStream): void {
    this.#stream = stream;
    this.#sentBytes = 0;
    this.#flow();
  }

  /** The replica takes more, so it has begun: a large body is not held any longer. */
  onWindow(): void {
    if (this.#mode === 'cut-through') this.release();
    this.#flow();
  }

  /** What was sent is not needed again: the first byte of the answer is here. */
  release(): void {
    this.#isHeld = false;
    this.#forgetSent();
    this.rules.budget.give(this.#budgetedBytes);
    this.#budgetedBytes = 0;
  }

  /** The request is over; see discardBody. */
  discard(): void {
    this.release();
    this.#mode = 'discarded';
    this.#stream = null;
    this.#chunks.drop(this.#chunks.length);
    discardBody(this.#source);
  }

  #take(chunk: Buffer): Gathered | null {
    if (this.#mode === 'discarded') return null;
    this.#totalBytes += chunk.length;
    if (this.#totalBytes > this.rules.maxBytes) return 'too-large';
    if (this.#mode === 'cut-through') {
      this.#chunks.push(chunk);
      this.#flow();
      return null;
    }
    if (!this.rules.budget.take(chunk.length)) return 'no-room';
    this.#budgetedBytes += chunk.length;
    this.#chunks.push(chunk);
    if (this.#totalBytes <= KEPT_BODY_BYTES) return null;
    this.#mode = 'cut-through';
    this.#source.pause();
    return 'cut-through';
  }

  /** Sends what the window allows, and reads on from the client only when all that is here has left. */
  #flow(): void {
    const stream = this.#stream;
    if (stream === null) return;
    while (this.#sentBytes < this.#chunks.length && stream.isOpen && stream.sendableBytes > 0) {
      const part = this.#chunks.view(this.#sentBytes, stream.sendableBytes);
      this.#sentBytes += part.length;
      stream.write(part, this.#isComplete && this.#sentBytes === this.#chunks.length);
    }
    const isSent = this.#sentBytes === this.#chunks.length;
    if (isSent && this.#isComplete) stream.write(Buffer.alloc(0), true); // nothing, where END has left already
    if (!this.#isHeld) this.#forgetSent();
    if (this.#isComplete) return;
    if (isSent && !this.#isHeld) this.#source.resume();
    else this.#source.pause();
  }

  #forgetSent(): void {
    this.#chunks.drop(this.#sentBytes);
    this.#sentBytes = 0;
  }
}

/**
 * Reads what is left of a body for a moment and throws it away, so that the client sees its answer and the connection
 * can carry another request; a client that goes on sending is cut off.
 */
export function discardBody(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return;
  const linger = setTimeout(() => request.destroy(), LINGER_MS);
  request.once('close', () => clearTimeout(linger));
  request.resume();
}

/** Bytes that the client announced; null where it sends chunks or nothing. */
export function declaredBytes(request: IncomingMessage): number | null {
  const length = request.headers['content-length'];
  return length === undefined ? null : Number(length);
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || (declaredBytes(request) ?? 0) > 0;
}
