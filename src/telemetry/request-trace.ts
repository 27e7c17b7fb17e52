import { randomBytes } from 'node:crypto';
import { type TraceContext, writeTraceparent } from './trace-context.ts';

export type SpanKind = 'internal' | 'server' | 'client';
export type SpanAttributes = Readonly<Record<string, string | number>>;

/** A span as it is exported. Times are ms since 1970. */
export interface FinishedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** null: it is the first of its trace */
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startMs: number;
  readonly endMs: number;
  /** what went wrong; null: nothing */
  readonly error: string | null;
  readonly attributes: SpanAttributes;
}

interface Attempt {
  readonly spanId: string;
  readonly startMs: number;
  readonly attributes: SpanAttributes;
}

/** How a request ended, for its own span. */
export interface TraceEnd {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly error: string | null;
  readonly attributes: SpanAttributes;
}

/**
 * The spans of one request in an ingress: itself, each wait for a replica, each replica that had it, and its time in user
 * code there. Times are those of performance.now().
 */
export class RequestTrace {
  readonly traceId: string;
  readonly #parentSpanId: string | null;
  readonly #spanId = newSpanId();
  readonly #emit: (span: FinishedSpan) => void;
  #attempt: Attempt | null = null;

  /** @param parent null: it is the first of a new trace */
  constructor(
    traceId: string,
    parent: Pick<TraceContext, 'spanId'> | null,
    emit: (span: FinishedSpan) => void,
  ) {
    this.traceId = traceId;
    this.#parentSpanId = parent?.spanId ?? null;
    this.#emit = emit;
  }

  waited(startMs: number, endMs: number): void {
    const spanId = newSpanId();
    this.#span({ spanId, parentSpanId: this.#spanId, name: 'queue', kind: 'internal', startMs, endMs });
  }

  /** It goes to a replica. */
  sent(startMs: number, attributes: SpanAttributes): void {
    this.#attempt = { spanId: newSpanId(), startMs, attributes };
  }

  /** What the replica is told: its part is one of the span of its having the request. */
  get traceparent(): string {
    const spanId = this.#attempt?.spanId ?? this.#spanId;
    return writeTraceparent({ traceId: this.traceId, spanId, isSampled: true });
  }

  /** The head of the answer came, which says how long user code had worked on it. */
  answered(atMs: number, userMs: number): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    const startMs = Math.max(attempt.startMs, atMs - userMs);
    const place = { spanId: newSpanId(), parentSpanId: attempt.spanId };
    this.#span({ ...place, name: 'user code', kind: 'internal', startMs, endMs: atMs });
  }

  /** The replica has it no more. @param error null: it was answered */
  left(endMs: number, error: string | null): void {
    const attempt = this.#attempt;
    if (attempt === null) return;
    this.#attempt = null;
    const { spanId, startMs, attributes } = attempt;
    const place = { spanId, parentSpanId: this.#spanId };
    this.#span({ ...place, name: 'replica', kind: 'client', startMs, endMs, error, attributes });
  }

  end({ endMs, error, ...rest }: TraceEnd): void {
    this.left(endMs, error);
    const place = { spanId: this.#spanId, parentSpanId: this.#parentSpanId };
    this.#span({ ...place, kind: 'server', endMs, error, ...rest });
  }

  #span(
    span: Omit<FinishedSpan, 'traceId' | 'error' | 'attributes'> &
      Partial<Pick<FinishedSpan, 'error' | 'attributes'>>,
  ): void {
    this.#emit({
      ...{ error: null, attributes: {}, traceId: this.traceId, ...span },
      startMs: performance.timeOrigin + span.startMs,
      endMs: performance.timeOrigin + span.endMs,
    });
  }
}

export function newTraceId(): string {
  return randomBytes(16).toString('hex');
}

export function newSpanId(): string {
  return randomBytes(8).toString('hex');
}
