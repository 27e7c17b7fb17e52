import type { ResponseHead } from '../channel/messages.ts';
import { OUTCOMES, type Outcome } from '../cluster/metrics/outcomes.ts';
import type { RequestTrace } from '../telemetry/request-trace.ts';
import { CANCELLED, OK, outcomeOfAnswer, outcomeOfError } from './deployment-meter.ts';
import type { Call } from './exchange.ts';
import type { FrameworkError } from './framework-error.ts';
import type { RequestJournal } from './request-journal.ts';
import { endSpan } from './request-span.ts';
import type { Target } from './target.ts';

/** What is said of the status of a request whose client left before there was one. */
const CLIENT_LEFT = 499;

/** What becomes of a request, as metrics and logs tell it, once, when it is over. */
export class Course {
  readonly arrivedMs = performance.now();
  readonly #call: Call;
  readonly #journal: RequestJournal;
  #outcome = OK;
  #status = CLIENT_LEFT;
  /** 0 before */
  #sentMs = 0;
  #queuedMs = 0;
  #waitedMs = 0;
  #target: Target | null = null;
  #retries = 0;
  #answeredBytes = 0;
  #isTold = false;

  constructor(call: Call, journal: RequestJournal) {
    this.#call = call;
    this.#journal = journal;
  }

  /** It waits for a replica from now on. */
  waits(): void {
    this.#queuedMs = performance.now();
  }

  /** It goes to a replica. @returns when that was */
  sent(target: Target): number {
    const nowMs = performance.now();
    const { trace } = this.#call.traced;
    if (this.#queuedMs !== 0) {
      this.#waitedMs += nowMs - this.#queuedMs;
      trace?.waited(this.#queuedMs, nowMs);
    }
    this.#queuedMs = 0;
    this.#sentMs = nowMs;
    this.#target = target;
    trace?.sent(nowMs, { 'modelserve.replica': target.replicaId, 'modelserve.node': target.nodeId });
    return nowMs;
  }

  /** What of its trace the replica is told. */
  get toldOfTrace(): { readonly traceparent: string | null; readonly isTimed: boolean } {
    const { trace, traceparent } = this.#call.traced;
    return trace === null
      ? { traceparent, isTimed: false }
      : { traceparent: trace.traceparent, isTimed: true };
  }

  /** The replica gave it back, unseen by user code. */
  refused(): void {
    this.#call.queue.meter.countRefusal();
    this.#call.traced.trace?.left(performance.now(), 'the replica had no room');
  }

  /** The replica died with it, and another one gets it. */
  retried(): void {
    this.#retries += 1;
    this.#call.queue.meter.countRetry();
    this.#call.traced.trace?.left(performance.now(), 'the replica died, or had to go');
  }

  begins({ status, ok, user_us }: ResponseHead): void {
    this.#status = status;
    if (user_us !== undefined) this.#call.traced.trace?.answered(performance.now(), user_us / 1000);
    this.#outcome = outcomeOfAnswer(status, ok);
  }

  passed(bytes: number): void {
    this.#answeredBytes += bytes;
  }

  /** All of a replica's answer is on its way to the client. @param endedMs when its last byte came */
  answered(receivedBytes: number, endedMs: number): void {
    if (this.#isTold) return;
    this.#call.queue.meter.count(this.#outcome);
    this.#over(receivedBytes, endedMs, null);
  }

  /** Its client has left. How long it took says nothing then. */
  cancelled(receivedBytes: number): void {
    if (this.#isTold) return;
    this.#outcome = CANCELLED;
    this.#call.queue.meter.count(CANCELLED);
    this.#over(receivedBytes, 0, null);
  }

  /** The ingress itself answers, or breaks the answer off. */
  failed(receivedBytes: number, error: FrameworkError): void {
    if (this.#isTold) return;
    this.#outcome = outcomeOfError(error.status);
    this.#status = error.status;
    this.#call.queue.countFrameworkError(error);
    this.#over(receivedBytes, performance.now(), error.code);
  }

  /** @param endedMs 0: it was not answered */
  #over(receivedBytes: number, endedMs: number, code: string | null): void {
    this.#isTold = true;
    const { meter } = this.#call.queue;
    meter.moved(receivedBytes, this.#answeredBytes);
    if (endedMs !== 0) {
      const durationMs = endedMs - this.arrivedMs;
      if (this.#sentMs === 0) meter.took(durationMs);
      else meter.worked(durationMs, this.#waitedMs, endedMs - this.#sentMs);
    }
    const outcome = OUTCOMES[this.#outcome] ?? 'ok';
    if (this.#call.traced.trace !== null) this.#endTrace(this.#call.traced.trace, outcome, code);
    if (this.#journal.wants(outcome)) this.#tell({ receivedBytes, endedMs, code });
  }

  #endTrace(trace: RequestTrace, outcome: Outcome, code: string | null): void {
    const { request, id, path, queue } = this.#call;
    endSpan(trace, {
      ...{ request, id, path, route: queue.route, startMs: this.arrivedMs },
      ...{ status: this.#status, outcome, code, retries: this.#retries },
    });
  }

  #tell(end: {
    readonly receivedBytes: number;
    readonly endedMs: number;
    readonly code: string | null;
  }): void {
    const nowMs = performance.now();
    const endedMs = end.endedMs === 0 ? nowMs : end.endedMs;
    this.#journal.over({
      ...this.#journal.identify(this.#call),
      atMs: Date.now() - (nowMs - this.arrivedMs),
      deployment: this.#call.queue.route.deployment,
      ...{ status: this.#status, outcome: OUTCOMES[this.#outcome] ?? 'ok', code: end.code },
      ...{ requestBytes: end.receivedBytes, responseBytes: this.#answeredBytes },
      ...{ durationMs: endedMs - this.arrivedMs, queueMs: this.#waitedMs },
      replicaMs: this.#sentMs === 0 ? null : endedMs - this.#sentMs,
      ...{ replica: this.#target?.replicaId ?? null, replicaNode: this.#target?.nodeId ?? null },
      retries: this.#retries,
    });
  }
}
