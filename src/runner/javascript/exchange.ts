import type { FrameConnection } from '../../channel/connection.ts';
import { FLAG_END, type Frame, FrameType, windowPayload } from '../../channel/frames.ts';
import type { Refusal, RequestHead, StreamFailure } from '../../channel/messages.ts';
import type { Place } from '../../lib/wait-queue.ts';
import type { Seat } from './call-desk.ts';
import { RequestBody } from './request-body.ts';
import type { Job, Scheduler } from './scheduler.ts';
import { StreamWriter } from './stream-writer.ts';
import type { AnswerPart, CallContent } from './thread-calls.ts';

export interface ExchangeOptions {
  readonly connection: FrameConnection;
  readonly stream: number;
  readonly head: RequestHead;
  /** the JSON that the head came as */
  readonly headText: string;
}

export interface ExchangeDependencies {
  readonly scheduler: Pick<Scheduler, 'submit' | 'withdraw'>;
  /** the request takes up nothing any more. Called once */
  readonly onOver: () => void;
}

const INCOMPLETE: CallContent = { headText: '', body: '' };

/** One request on one stream: from its head, when it was let in, to the last byte of its answer. */
export class Exchange implements Job {
  readonly arrivedAtMs = performance.now();
  submittedAtMs = this.arrivedAtMs;
  /** what user code is called with, once the request is complete */
  content: CallContent = INCOMPLETE;
  place: Place<Job> | null = null;
  seat: Seat | null = null;
  readonly #options: ExchangeOptions;
  readonly #dependencies: ExchangeDependencies;
  readonly #body: RequestBody;
  readonly #writer: StreamWriter;
  /** the last part of the answer is here */
  #isAnswered = false;

  constructor(options: ExchangeOptions, dependencies: ExchangeDependencies) {
    const { connection, stream } = options;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#body = new RequestBody((bytes) =>
      connection.send(FrameType.window, 0, stream, windowPayload(bytes)),
    );
    this.#writer = new StreamWriter(connection, stream);
  }

  get head(): RequestHead {
    return this.#options.head;
  }

  get deadlineMs(): number {
    return this.arrivedAtMs + this.head.timeout_ms;
  }

  get isInUserCode(): boolean {
    return this.seat?.isBegun ?? false;
  }

  /** A frame of the request body; the call is due when the last one has come. */
  receive(frame: Frame): void {
    if (this.content !== INCOMPLETE || this.#writer.isClosed) return;
    if (frame.payload.length > 0) this.#body.push(frame.payload);
    if ((frame.flags & FLAG_END) !== 0) this.begin();
  }

  /** The request is complete. */
  begin(): void {
    this.content = { headText: this.#options.headText, body: this.#body.take() };
    this.submittedAtMs = performance.now();
    this.#dependencies.scheduler.submit(this);
  }

  grant(bytes: number): void {
    this.#writer.grant(bytes);
  }

  /** Nobody waits for the answer any more. What has not begun never will; a running call is told, and its answer dropped. */
  cancel(): void {
    if (this.#writer.isClosed) return;
    this.#writer.close();
    if (this.#isAnswered || this.#withdraw()) this.#over();
    else this.seat?.cancel();
  }

  /** The replica ends: what user code has not seen may go elsewhere, the rest has failed. */
  cutOff(): void {
    if (this.#writer.isClosed) return;
    if (!this.#isAnswered && this.#withdraw()) {
      const refusal: Refusal = { reason: 'draining' };
      this.#sendLast(FrameType.refuse, refusal);
      this.#over();
      return;
    }
    this.#fail('REPLICA_STOPPED', 'the replica was stopped, and its grace for running calls is over');
    if (this.#isAnswered) this.#over();
    else this.seat?.cancel();
  }

  onExpired(): void {
    this.#fail('DEADLINE', 'the deadline passed while the request waited for an instance of the backend');
    this.#over();
  }

  onReply(part: AnswerPart): void {
    this.#isAnswered = !part.more;
    if (this.#writer.isClosed) {
      if (this.#isAnswered) this.#over();
      return;
    }
    const { chunk, headText, failure } = part;
    const end = this.#isAnswered && failure === null;
    if (headText !== null) {
      const { connection, stream } = this.#options;
      const isEmpty = end && chunk.length === 0;
      connection.sendText(FrameType.response, isEmpty ? FLAG_END : 0, stream, headText);
      if (isEmpty) {
        this.#over();
        return;
      }
    }
    this.#writer.write(chunk, end, () => this.#goOn(part));
  }

  /** A part of the answer has left: the instance makes more no faster than the reader takes it. */
  #goOn({ more, failure }: AnswerPart): void {
    if (more) {
      this.seat?.next();
      return;
    }
    if (failure !== null) this.#fail('BACKEND_ERROR', failure);
    this.#over();
  }

  /** True: the call has not begun and never will. */
  #withdraw(): boolean {
    return this.content === INCOMPLETE || this.#dependencies.scheduler.withdraw(this);
  }

  #fail(code: string, info: string): void {
    if (this.#writer.isClosed) return;
    this.#writer.close();
    const failure: StreamFailure = { code, info: info.slice(0, 4_000) };
    this.#sendLast(FrameType.failed, failure);
  }

  #sendLast(type: FrameType, payload: Refusal | StreamFailure): void {
    const { connection, stream } = this.#options;
    connection.sendJson(type, FLAG_END, stream, payload);
  }

  #over(): void {
    this.#writer.close();
    this.#dependencies.onOver();
  }
}
