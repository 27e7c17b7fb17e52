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
import type { Refusal, RequestHead, ResponseHead, StreamFailure } from './messages.ts';
import { StreamTable } from './stream-table.ts';

/** What the serving side of a request hears. */
export interface RequestListener {
  onData(chunk: Buffer, end: boolean): void;
  /** the connector granted this many bytes more of the answer */
  onWindow(grantedBytes: number): void;
  /** once, when nobody waits for the answer any more: cancelled, or the connection is gone */
  onCancel(): void;
}

/** The serving side of one request. Calls after its end do nothing. */
export class ServerStream {
  readonly #connection: FrameConnection;
  readonly #number: number;
  readonly #forget: () => void;
  #sendableBytes = INITIAL_WINDOW_BYTES;
  #receivableBytes = INITIAL_WINDOW_BYTES;
  #receivedEnd: boolean;
  #sentEnd = false;

  constructor(
    place: {
      readonly connection: FrameConnection;
      readonly number: number;
      readonly forget: () => void;
    },
    receivedEnd: boolean,
  ) {
    this.#connection = place.connection;
    this.#number = place.number;
    this.#forget = place.forget;
    this.#receivedEnd = receivedEnd;
  }

  /** Bytes of the answer that may be sent now. */
  get sendableBytes(): number {
    return this.#sendableBytes;
  }

  respond(head: ResponseHead, end: boolean): void {
    if (this.#sentEnd) return;
    this.#connection.sendJson(FrameType.response, end ? FLAG_END : 0, this.#number, head);
    if (end) this.#finish();
  }

  /** Sends a part of the answer, cut into frames; the caller keeps within `sendableBytes`. */
  write(chunk: Uint8Array, end: boolean): void {
    if (this.#sentEnd) return;
    this.#sendableBytes -= chunk.length;
    let offset = 0;
    do {
      const part = chunk.subarray(offset, offset + MAX_PAYLOAD_BYTES);
      offset += part.length;
      const isLast = end && offset === chunk.length;
      this.#connection.send(FrameType.data, isLast ? FLAG_END : 0, this.#number, part);
    } while (offset < chunk.length);
    if (end) this.#finish();
  }

  /** Lets the connector send this many bytes more of the body. */
  grant(bytes: number): void {
    if (this.#sentEnd || bytes === 0) return;
    this.#receivableBytes += bytes;
    this.#connection.send(FrameType.window, 0, this.#number, windowPayload(bytes));
  }

  refuse(reason: Refusal['reason']): void {
    this.#endWith(FrameType.refuse, { reason } satisfies Refusal);
  }

  fail(failure: StreamFailure): void {
    this.#endWith(FrameType.failed, failure);
  }

  /** @throws ChannelError CHANNEL_PROTOCOL when the connector overruns its window */
  receive(frame: Frame, listener: RequestListener): void {
    switch (frame.type) {
      case FrameType.data:
        this.#receivableBytes -= frame.payload.length;
        if (this.#receivableBytes < 0) {
          throw new ChannelError(
            'CHANNEL_PROTOCOL',
            `body on stream ${this.#number} overruns its window by ${-this.#receivableBytes} bytes`,
          );
        }
        this.#receivedEnd = (frame.flags & FLAG_END) !== 0;
        if (!this.#sentEnd) listener.onData(frame.payload, this.#receivedEnd);
        if (this.#sentEnd && this.#receivedEnd) this.#forget();
        return;
      case FrameType.window:
        this.#sendableBytes += frame.payload.readUInt32BE(0);
        if (!this.#sentEnd) listener.onWindow(frame.payload.readUInt32BE(0));
        return;
      case FrameType.cancel:
        this.abandon(listener);
        return;
      default:
    }
  }

  /** The connector left: the listener hears of it unless the answer was complete. */
  abandon(listener: RequestListener): void {
    this.#forget();
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    listener.onCancel();
  }

  #endWith(type: typeof FrameType.refuse | typeof FrameType.failed, payload: Refusal | StreamFailure): void {
    if (this.#sentEnd) return;
    this.#sentEnd = true;
    this.#forget();
    this.#connection.sendJson(type, FLAG_END, this.#number, payload);
  }

  /** The answer is complete; what is left of the body is dropped until the connector cancels or ends it. */
  #finish(): void {
    this.#sentEnd = true;
    if (this.#receivedEnd) this.#forget();
  }
}

/** Takes a request; the listener it returns hears what follows. `end`: it has no body. */
export type RequestHandler = (head: RequestHead, end: boolean, stream: ServerStream) => RequestListener;

/** The requests that are open on one accepted connection, by stream number. */
export class ServerStreams {
  readonly #connection: FrameConnection;
  readonly #onRequest: RequestHandler;
  readonly #open = new StreamTable<{ readonly stream: ServerStream; listener: RequestListener | null }>();

  readonly #onIdle: () => void;

  /** @param onIdle no request is open any more */
  constructor(connection: FrameConnection, onRequest: RequestHandler, onIdle: () => void = () => {}) {
    this.#connection = connection;
    this.#onRequest = onRequest;
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** @throws ChannelError CHANNEL_PROTOCOL when the peer breaks the rules */
  receive(frame: Frame): void {
    if (frame.type === FrameType.request) {
      this.#accept(frame);
      return;
    }
    const entry = this.#open.get(frame.stream);
    if (entry?.listener) entry.stream.receive(frame, entry.listener);
  }

  /** The connection is gone: every request that still waits for its answer is cancelled. */
  cancelAll(): void {
    for (const { stream, listener } of this.#open.values()) if (listener !== null) stream.abandon(listener);
  }

  #accept(frame: Frame): void {
    const number = frame.stream;
    if (this.#open.has(number) || number === 0) {
      throw new ChannelError('CHANNEL_PROTOCOL', `request on stream ${number}, which is in use`);
    }
    const end = (frame.flags & FLAG_END) !== 0;
    const head = parsePayload(frame) as RequestHead;
    const stream = new ServerStream(
      { connection: this.#connection, number, forget: () => this.#forget(number) },
      end,
    );
    const entry: { stream: ServerStream; listener: RequestListener | null } = { stream, listener: null };
    this.#open.set(number, entry);
    entry.listener = this.#onRequest(head, end, stream);
  }

  #forget(number: number): void {
    this.#open.delete(number);
    if (this.isIdle) this.#onIdle();
  }
}
