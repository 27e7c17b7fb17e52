import type { FrameConnection } from '../../channel/connection.ts';
import { FLAG_END, type Frame, FrameType, MAX_PAYLOAD_BYTES, windowPayload } from '../../channel/frames.ts';
import type { Refusal, RequestHead, ResponseHead, StreamFailure } from '../../channel/messages.ts';
import { failureAnswer } from './answer.ts';
import { UnencodableError } from './encode-json.ts';
import type { CallTarget } from './instance-pool.ts';
import { RequestBody } from './request-body.ts';
import type { Job, Ticket } from './scheduler.ts';
import { StreamWriter } from './stream-writer.ts';
import type { CallReply } from './thread-tasks.ts';

export interface ExchangeOptions {
  readonly connection: FrameConnection;
  readonly stream: number;
  readonly head: RequestHead;
}

export interface ExchangeDependencies {
  readonly submit: (job: Job) => Ticket;
  /** the request takes up nothing any more. Called once */
  readonly onOver: () => void;
}

/** One request on one stream: from its head, when it was let in, to the last byte of its answer. */
export class Exchange {
  readonly head: RequestHead;
  readonly arrivedAtMs = performance.now();
  readonly #connection: FrameConnection;
  readonly #stream: number;
  readonly #dependencies: ExchangeDependencies;
  readonly #body: RequestBody;
  readonly #writer: StreamWriter;
  #ticket: Ticket | null = null;
  #instance: CallTarget | null = null;

  constructor(options: ExchangeOptions, dependencies: ExchangeDependencies) {
    this.head = options.head;
    this.#connection = options.connection;
    this.#stream = options.stream;
    this.#dependencies = dependencies;
    this.#body = new RequestBody((bytes) => this.#send(FrameType.window, windowPayload(bytes)));
    this.#writer = new StreamWriter(options.connection, options.stream);
  }

  get isInUserCode(): boolean {
    return this.#instance !== null;
  }

  /** A frame of the request body; the call is due when the last one has come. */
  receive(frame: Frame): void {
    if (this.#ticket !== null || this.#writer.isClosed) return;
    if (frame.payload.length > 0) this.#body.push(frame.payload);
    if ((frame.flags & FLAG_END) !== 0) this.begin();
  }

  /** The request is complete. */
  begin(): void {
    this.#ticket = this.#dependencies.submit({
      run: (instance) => this.#run(instance).catch(lostWithItsThread),
      waitMs: Math.max(0, this.head.timeout_ms - (performance.now() - this.arrivedAtMs)),
      onExpired: () => {
        this.#fail('DEADLINE', 'the deadline passed while the request waited for an instance of the backend');
        this.#over();
      },
    });
  }

  grant(bytes: number): void {
    this.#writer.grant(bytes);
  }

  /** Nobody waits for the answer any more. What has not begun never will; a running call is told, and its answer dropped. */
  cancel(): void {
    if (this.#writer.isClosed) return;
    this.#writer.close();
    if (this.#withdraw()) this.#over();
    else void this.#instance?.cancel();
  }

  /** The replica ends: what user code has not seen may go elsewhere, the rest has failed. */
  cutOff(): void {
    if (this.#writer.isClosed) return;
    if (this.#withdraw()) {
      const refusal: Refusal = { reason: 'draining' };
      this.#connection.sendJson(FrameType.refuse, FLAG_END, this.#stream, refusal);
      this.#over();
      return;
    }
    this.#fail('REPLICA_STOPPED', 'the replica was stopped, and its grace for running calls is over');
    void this.#instance?.cancel();
  }

  /** True: the call has not begun and never will. */
  #withdraw(): boolean {
    return this.#ticket === null || this.#ticket.cancel();
  }

  async #run(instance: CallTarget): Promise<void> {
    this.#instance = instance;
    const reply = await instance.call({ head: this.head, body: this.#body.take() });
    if (!reply.more) {
      // The instance is free for the next call while this answer leaves at the pace of its reader.
      this.#instance = null;
      void this.#answer(reply).then(() => this.#over());
      return;
    }
    await this.#answer(reply);
    await this.#pump(instance);
    this.#instance = null;
    this.#over();
  }

  async #answer(reply: CallReply): Promise<void> {
    if (this.#writer.isClosed) return;
    const isEmpty = !reply.more && reply.chunk.length === 0;
    if (!this.#sendHead(reply.head, isEmpty) || isEmpty) return;
    await this.#writer.write(reply.chunk, !reply.more);
  }

  /** Asks for chunks no faster than the reader takes them. */
  async #pump(instance: CallTarget): Promise<void> {
    while (!this.#writer.isClosed) {
      const next = await instance.next();
      if ('error' in next) {
        await this.#writer.write(next.chunk, false);
        this.#fail('BACKEND_ERROR', next.error);
        return;
      }
      await this.#writer.write(next.chunk, !next.more);
      if (!next.more) return;
    }
    await instance.cancel();
  }

  /** False when the head itself was too large, and an error was answered in its place. */
  #sendHead(head: ResponseHead, end: boolean): boolean {
    const payload = Buffer.from(JSON.stringify(head));
    if (payload.length <= MAX_PAYLOAD_BYTES) {
      this.#connection.send(FrameType.response, end ? FLAG_END : 0, this.#stream, payload);
      return true;
    }
    const refused = failureAnswer(
      new UnencodableError(`headers of ${payload.length} bytes are over the limit of ${MAX_PAYLOAD_BYTES}`),
      this.head,
    );
    this.#connection.sendJson(FrameType.response, 0, this.#stream, refused.head);
    if ('body' in refused) this.#send(FrameType.data, refused.body, FLAG_END);
    this.#writer.close();
    return false;
  }

  #fail(code: string, info: string): void {
    if (this.#writer.isClosed) return;
    this.#writer.close();
    const failure: StreamFailure = { code, info: info.slice(0, 4_000) };
    this.#connection.sendJson(FrameType.failed, FLAG_END, this.#stream, failure);
  }

  #send(type: FrameType, payload: Uint8Array, flags = 0): void {
    this.#connection.send(type, flags, this.#stream, payload);
  }

  #over(): void {
    this.#writer.close();
    this.#dependencies.onOver();
  }
}

/**
 * A call only fails itself when its thread has died, and then the whole replica ends: that its connection breaks without an answer is what
 * lets an ingress give the request to another replica.
 */
function lostWithItsThread(): void {
  // nothing is answered
}
