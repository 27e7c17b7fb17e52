import type { FrameConnection } from './connection.ts';
import { parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import {
  FLAG_END,
  type Frame,
  FrameType,
  INITIAL_WINDOW_BYTES,
  MAX_PAYLOAD_BYTES,
  windowPayload,
} from './frames.ts';
import type { EncodedHead, Refusal, ResponseHead, StreamFailure } from './messages.ts';
import { ResponseHeads } from './response-heads.ts';
import { StreamTable } from './stream-table.ts';

/** What a request hears. After onRefused, onFailed, onLost, or an `end` that is true, nothing more comes. */
export interface StreamListener {
  onResponse(head: ResponseHead, end: boolean): void;
  onData(chunk: Buffer, end: boolean): void;
  onRefused(refusal: Refusal): void;
  onFailed(failure: StreamFailure): void;
  /** the replica granted this many bytes more of the body */
  onWindow(grantedBytes: number): void;
  /** the connection ended with the request on it */
  onLost(): void;
}

const LAST_STREAM = 0xffff_ffff;

/** The connector's side of one request on a channel or link. */
export class ClientStream {
  readonly #connection: FrameConnection;
  readonly #number: number;
  readonly #forget: () => void;
  readonly #heads: ResponseHeads;
  readonly listener: StreamListener;
  #sendableBytes = INITIAL_WINDOW_BYTES;
  #receivableBytes = INITIAL_WINDOW_BYTES;
  #sentEnd: boolean;
  #isOpen = true;

  constructor(
    place: {
      readonly connection: FrameConnection;
      readonly number: number;
      readonly forget: () => void;
      readonly heads: ResponseHeads;
    },
    sentEnd: boolean,
    listener: StreamListener,
  ) {
    this.#connection = place.connection;
    this.#number = place.number;
    this.#forget = place.forget;
    this.#heads = place.heads;
    this.#sentEnd = sentEnd;
    this.listener = listener;
  }

  /** Bytes of the body that may be sent now. */
  get sendableBytes(): number {
    return this.#sendableBytes;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /**
   * Sends a part of the body, cut into frames; the caller keeps within `sendableBytes`.
   * @throws ChannelError CHANNEL_PROTOCOL when it does not
   */
  write(chunk: Uint8Array, end: boolean): void {
    if (!this.#isOpen || this.#sentEnd) return;
    if (chunk.length > this.#sendableBytes) {
      throw new ChannelError(
        'CHANNEL_PROTOCOL',
        `body of ${chunk.length} bytes where the window has ${this.#sendableBytes} left`,
      );
    }
    this.#sendableBytes -= chunk.length;
    this.#sentEnd = end;
    let offset = 0;
    do {
      const part = chunk.subarray(offset, offset + MAX_PAYLOAD_BYTES);
      offset += part.length;
      const isLast = end && offset === chunk.length;
      this.#connection.send(FrameType.data, isLast ? FLAG_END : 0, this.#number, part);
    } while (offset < chunk.length);
  }

  /** Lets the replica send this many bytes more: called when what came has been passed on. */
  grant(bytes: number): void {
    if (!this.#isOpen || bytes === 0) return;
    this.#receivableBytes += bytes;
    this.#connection.send(FrameType.window, 0, this.#number, windowPayload(bytes));
  }

  /** Nobody waits for the answer any more. Idempotent; the listener hears nothing further. */
  cancel(): void {
    if (!this.#isOpen) return;
    this.#connection.send(FrameType.cancel, 0, this.#number);
    this.#close();
  }

  /** @throws ChannelError CHANNEL_PROTOCOL when the peer breaks the rules */
  receive(frame: Frame): void {
    const end = (frame.flags & FLAG_END) !== 0;
    switch (frame.type) {
      case FrameType.response:
        this.#finishOn(end);
        this.listener.onResponse(this.#heads.read(frame), end);
        return;
      case FrameType.data:
        this.#receivableBytes -= frame.payload.length;
        if (this.#receivableBytes < 0) {
          throw new ChannelError(
            'CHANNEL_PROTOCOL',
            `answer on stream ${this.#number} overruns its window by ${-this.#receivableBytes} bytes`,
          );
        }
        this.#finishOn(end);
        this.listener.onData(frame.payload, end);
        return;
      case FrameType.window: {
        const granted = frame.payload.readUInt32BE(0);
        this.#sendableBytes += granted;
        this.listener.onWindow(granted);
        return;
      }
      case FrameType.refuse:
        this.#close();
        this.listener.onRefused(parsePayload(frame) as Refusal);
        return;
      case FrameType.failed:
        this.#close();
        this.listener.onFailed(parsePayload(frame) as StreamFailure);
        return;
      default:
    }
  }

  lose(): void {
    if (!this.#isOpen) return;
    this.#close();
    this.listener.onLost();
  }

  /** The whole answer is there: a body that is still on its way is not wanted any more. */
  #finishOn(end: boolean): void {
    if (!end) return;
    if (this.#sentEnd) this.#close();
    else this.cancel();
  }

  #close(): void {
    this.#isOpen = false;
    this.#forget();
  }
}

/** The requests that are open on one connection, by stream number. */
export class ClientStreams {
  readonly #connection: FrameConnection;
  readonly #streams = new StreamTable<ClientStream>();
  readonly #heads = new ResponseHeads();
  readonly #onIdle: () => void;
  #lastNumber = 0;

  /** @param onIdle no request is open any more */
  constructor(connection: FrameConnection, onIdle: () => void = () => {}) {
    this.#connection = connection;
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return this.#streams.size === 0;
  }

  /** Sends a request; with `end` it has no body. The listener is never called before this returned. */
  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream {
    const number = this.#nextNumber();
    const stream = new ClientStream(
      {
        connection: this.#connection,
        number,
        forget: () => this.#forget(number),
        heads: this.#heads,
      },
      end,
      listener,
    );
    this.#streams.set(number, stream);
    this.#connection.sendText(FrameType.request, end ? FLAG_END : 0, number, head.text);
    return stream;
  }

  /** Hands a frame to its stream; frames of streams that are gone (a cancel crossed them) are dropped. */
  receive(frame: Frame): void {
    this.#streams.get(frame.stream)?.receive(frame);
  }

  /** Tells every open request that its connection is gone. */
  loseAll(): void {
    for (const stream of this.#streams.values()) stream.lose();
  }

  #forget(number: number): void {
    this.#streams.delete(number);
    if (this.isIdle) this.#onIdle();
  }

  /** Numbers grow, and start over after 2^32 − 1 (60 hours at 20,000 requests a second). */
  #nextNumber(): number {
    do {
      this.#lastNumber = this.#lastNumber === LAST_STREAM ? 1 : this.#lastNumber + 1;
    } while (this.#streams.has(this.#lastNumber));
    return this.#lastNumber;
  }
}
