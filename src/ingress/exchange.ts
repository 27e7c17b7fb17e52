import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EncodedHead, Refusal, ResponseHead, StreamFailure } from '../channel/messages.ts';
import type { ClientStream, StreamListener } from '../channel/streams.ts';
import type { Place } from '../lib/wait-queue.ts';
import type { Traced } from '../telemetry/tracer.ts';
import { Answer } from './answer.ts';
import type { Casualties } from './casualties.ts';
import { probeClient } from './client-probe.ts';
import { Course } from './course.ts';
import type { DeploymentQueue, Waiting } from './deployment-queue.ts';
import {
  badAnswer,
  bodyTooLarge,
  deadlineOver,
  type FrameworkError,
  replicaDied,
  replicaDiedWithBody,
  replicaFailed,
  replicaStopped,
  retryBufferFull,
} from './framework-error.ts';
import { type BodyRules, type Gathered, RequestBody } from './request-body.ts';
import { requestHead } from './request-head.ts';
import type { RequestJournal } from './request-journal.ts';
import type { Target } from './target.ts';

/** What came in, with what the ingress has found out about it. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly id: string;
  readonly path: string;
  /** without `?` */
  readonly query: string;
  readonly queue: DeploymentQueue;
  readonly timeoutMs: number;
  /** tracebacks may go to this client */
  readonly exposesErrors: boolean;
  /** its connection carries no further request */
  readonly isLast: boolean;
  readonly traced: Traced;
}

export interface ExchangeDependencies {
  readonly bodyRules: BodyRules;
  readonly casualties: Casualties;
  readonly journal: RequestJournal;
  /** once: the exchange takes part in nothing any more */
  readonly onOver: () => void;
}

type Phase = 'reading' | 'queued' | 'sent' | 'answering' | 'done';

const PHASE_WORDS: Readonly<Record<Phase, string>> = {
  reading: 'still being received',
  queued: 'waiting for a free replica',
  sent: 'at a replica',
  answering: 'being answered',
  done: 'done',
};

/** Half of a window: large enough that grants are rare, small enough that the sender never runs dry. */
const GRANT_BYTES = 512 * 1024;

/**
 * One request from its first byte to its answer's last: reads it, waits its turn, goes to a replica, again to another
 * one where that died before it answered, and ends at its deadline or when the client leaves.
 */
export class Exchange implements Waiting, StreamListener {
  readonly #call: Call;
  readonly #dependencies: ExchangeDependencies;
  readonly #body: RequestBody;
  readonly #answer: Answer;
  readonly #course: Course;
  place: Place<Waiting> | null = null;
  #isOver = false;
  #phase: Phase = 'reading';
  #seat: { readonly target: Target; readonly stream: ClientStream } | null = null;
  #deaths = 0;
  #timer: NodeJS.Timeout;
  /** of the answer: passed on, and not granted anew yet */
  #flow = { passedBytes: 0, lastMs: 0 };

  constructor(call: Call, dependencies: ExchangeDependencies) {
    this.#call = call;
    this.#dependencies = dependencies;
    this.#course = new Course(call, dependencies.journal);
    this.#body = new RequestBody(call.request, dependencies.bodyRules);
    this.#answer = new Answer(call.response, { requestId: call.id, isLast: call.isLast });
    this.#timer = setTimeout(() => this.#onDeadline(), call.timeoutMs);
  }

  begin(): void {
    this.#call.response.once('close', () => this.#onClosed());
    if (this.#call.response.socket === null) this.#followConnection();
    this.#call.response.on('error', () => {}); // a write that crosses the client's leaving: `close` tells the same
    this.#call.queue.countRequest();
    this.#body.gather((outcome) => this.#onGathered(outcome));
  }

  /** A response that waits behind others of its connection is not told by node:http when that is gone. */
  #followConnection(): void {
    const { socket } = this.#call.request;
    const onGone = () => this.#onClosed();
    socket.setMaxListeners(0); // one for each request that is pipelined
    socket.once('close', onGone);
    this.#call.response.once('close', () => socket.off('close', onGone));
  }

  start(target: Target): void {
    this.#phase = 'sent';
    const stream = target.open(this.#head(target), this.#body.isEmpty, this);
    this.#seat = { target, stream };
    if (!this.#body.isEmpty) this.#body.deliver(stream);
  }

  reject(error: FrameworkError): void {
    this.#fail(error);
  }

  onResponse(head: ResponseHead, end: boolean): void {
    this.#phase = 'answering';
    this.#flow.lastMs = performance.now();
    this.#body.release();
    this.#course.begins(head);
    const problem = this.#answer.begin(head, end);
    if (problem !== null) this.#abort(badAnswer(this.#deployment, problem));
    else if (end) this.#answered();
  }

  onData(chunk: Buffer, end: boolean): void {
    const outcome = this.#answer.write(chunk, end);
    this.#flow.lastMs = performance.now();
    this.#flow.passedBytes += chunk.length;
    this.#course.passed(chunk.length);
    if (outcome === 'broken') {
      this.#abort(badAnswer(this.#deployment, 'it is not as long as its content-length says'));
    } else if (end) this.#answered();
    else if (outcome === 'full') this.#answer.onDrained(() => this.#grant());
    else this.#grant();
  }

  onRefused(refusal: Refusal): void {
    const seat = this.#seat;
    this.#seat = null;
    this.#call.queue.finished();
    seat?.target.releaseRefused();
    this.#course.refused();
    if (this.#body.isHeld) this.#requeue();
    else
      this.#fail(
        replicaFailed('REPLICA_FAILED', `the replica took it and refused it then: ${refusal.reason}`),
      );
  }

  onFailed(failure: StreamFailure): void {
    if (failure.died === true) {
      this.onLost();
      return;
    }
    this.#leave();
    if (failure.code !== 'REPLICA_STOPPED') this.#fail(replicaFailed(failure.code, failure.info));
    else if (!this.#goesElsewhere()) this.#fail(replicaStopped(this.#deployment));
  }

  onWindow(): void {
    this.#body.onWindow();
  }

  /** The replica died, or the way to it broke. */
  onLost(): void {
    this.#leave();
    if (this.#goesElsewhere()) return;
    this.#dependencies.casualties.add({
      requestId: this.#call.id,
      deployment: this.#deployment,
      path: this.#call.path,
      deaths: this.#deaths,
      atMs: Date.now(),
    });
    this.#fail(
      this.#body.isReplayable
        ? replicaDied(this.#deployment, this.#deaths)
        : replicaDiedWithBody(this.#deployment),
    );
  }

  /** It had begun, and was cut off before its answer: another replica gets it, `retries` times. */
  #goesElsewhere(): boolean {
    this.#deaths += 1;
    const { queue } = this.#call;
    if (this.#phase !== 'sent' || !this.#body.isReplayable || this.#deaths > queue.route.retries)
      return false;
    this.#course.retried();
    this.#requeue();
    return true;
  }

  #requeue(): void {
    this.#phase = 'queued';
    this.#call.queue.requeue(this);
    this.#noteWaiting();
  }

  /** Where it is not its turn at once, the time that it waits is measured. */
  #noteWaiting(): void {
    if (this.#phase === 'queued') this.#course.waits();
  }

  get #deployment(): string {
    return this.#call.queue.route.deployment;
  }

  #head(target: Target): EncodedHead {
    const { request, id, path, query, exposesErrors } = this.#call;
    const leftMs = this.#call.timeoutMs - (this.#course.sent(target) - this.#course.arrivedMs);
    const timeoutMs = Math.max(1, Math.round(leftMs));
    const { replicaId: replica } = target;
    const { traceparent, isTimed } = this.#course.toldOfTrace;
    // Written out: spread together of two objects, it took 3 µs of CPU a request to make and to read.
    return requestHead(request, { id, replica, path, query, timeoutMs, exposesErrors, traceparent, isTimed });
  }

  #onGathered(outcome: Gathered): void {
    if (this.#phase === 'done') return;
    switch (outcome) {
      case 'complete':
      case 'cut-through':
        if (outcome === 'cut-through') probeClient(this.#call.response, this.#body);
        this.#phase = 'queued';
        this.#call.queue.submit(this);
        this.#noteWaiting();
        return;
      case 'too-large':
        this.#abort(bodyTooLarge(this.#body.rules.maxBytes));
        return;
      case 'no-room':
        this.#fail(retryBufferFull(this.#body.rules.budget.limitBytes));
    }
  }

  #grant(): void {
    const { passedBytes } = this.#flow;
    if (passedBytes < GRANT_BYTES) return;
    this.#flow.passedBytes = 0;
    this.#flow.lastMs = performance.now();
    this.#seat?.stream.grant(passedBytes);
  }

  /** Time is over; for an answer on its way only if nothing of it has moved for as long as the deadline. */
  #onDeadline(): void {
    const { timeoutMs } = this.#call;
    if (this.#phase === 'answering') {
      const idleMs = performance.now() - this.#flow.lastMs;
      if (idleMs < timeoutMs) {
        this.#timer = setTimeout(() => this.#onDeadline(), timeoutMs - idleMs);
        return;
      }
    }
    this.#abort(deadlineOver(this.#deployment, timeoutMs, PHASE_WORDS[this.#phase]));
  }

  /** The answer has left, or the client has. */
  #onClosed(): void {
    if (this.#phase !== 'done') {
      this.#withdraw();
      this.#course.cancelled(this.#body.receivedBytes);
      this.#finish();
    }
    this.#tellOver();
  }

  #tellOver(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#dependencies.onOver();
  }

  #abort(error: FrameworkError): void {
    this.#withdraw();
    this.#fail(error);
  }

  /** Out of the queue, and away from the replica, which need not go on. */
  #withdraw(): void {
    if (this.#phase === 'queued') this.#call.queue.withdraw(this);
    this.#seat?.stream.cancel();
    this.#leave();
  }

  /** Gives the place at the replica to the next. */
  #leave(): void {
    const seat = this.#seat;
    if (seat === null) return;
    this.#seat = null;
    this.#call.queue.finished();
    seat.target.release();
  }

  /** All of the answer is on its way to the client. */
  #answered(): void {
    this.#leave();
    this.#course.answered(this.#body.receivedBytes, this.#flow.lastMs);
  }

  #fail(error: FrameworkError): void {
    this.#course.failed(this.#body.receivedBytes, error);
    this.#answer.fail(error);
    this.#finish();
  }

  #finish(): void {
    this.#phase = 'done';
    clearTimeout(this.#timer);
    this.#body.discard();
    // of requests that were pipelined behind another one, node:http does not tell that their connection is gone
    if (this.#call.request.socket.destroyed) this.#tellOver();
  }
}
