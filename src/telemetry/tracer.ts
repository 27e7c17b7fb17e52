import type { TracingSettings } from '../config/tracing-settings.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { type FinishedSpan, newSpanId, newTraceId, RequestTrace } from './request-trace.ts';
import type { SpanSink } from './span-sink.ts';
import { readTraceparent, type TraceContext, writeTraceparent } from './trace-context.ts';

/** What a request is told of its trace, where this ingress has a say in that. */
export interface Traced {
  /** null: it is not sampled */
  readonly trace: RequestTrace | null;
  /** for the replica, where the request is not sampled; null: what the client sent */
  readonly traceparent: string | null;
}

const UNTOUCHED: Traced = { trace: null, traceparent: null };
/** Of spans that end while OpenTelemetry's packages are still being loaded. */
const MOST_EARLY = 1_024;

/** Decides which requests are traced, and hands their spans on. Nothing waits for it. */
export class Tracer {
  readonly #settings: TracingSettings;
  readonly #loading: Promise<SpanSink | null>;
  #sink: SpanSink | null = null;
  readonly #early: FinishedSpan[] = [];
  readonly #emit = (span: FinishedSpan): void => this.#take(span);

  /** @param instance what tells this process' spans from others' */
  constructor(
    settings: TracingSettings,
    instance: { readonly id: string; readonly version: string; readonly log: Log },
  ) {
    this.#settings = settings;
    const resource = {
      'service.version': instance.version,
      'service.instance.id': instance.id,
      ...settings.resource,
    };
    // Loaded where it is configured alone: it takes 15 to 18 MB.
    this.#loading = import('./span-sink.ts').then(
      ({ openSpanSink }) => this.#open(openSpanSink({ ...settings, resource }, instance.log)),
      (error: unknown) => {
        instance.log.error({ error: messageOf(error) }, 'spans cannot be exported');
        return null;
      },
    );
  }

  /** @param sent the client's `traceparent` */
  begin(sent: string | readonly string[] | undefined): Traced {
    const parent = readTraceparent(sent);
    const { ratio, followsParent } = this.#settings;
    if (parent !== null && followsParent) {
      return parent.isSampled ? this.#traced(parent.traceId, parent) : UNTOUCHED;
    }
    const traceId = parent?.traceId ?? newTraceId();
    if (isWithin(traceId, ratio)) return this.#traced(traceId, parent);
    const spanId = parent?.spanId ?? newSpanId();
    return { trace: null, traceparent: writeTraceparent({ traceId, spanId, isSampled: false }) };
  }

  /** Spans that have ended are on their way then, or given up. Idempotent. */
  async close(): Promise<void> {
    const sink = await this.#loading;
    await sink?.close();
  }

  #traced(traceId: string, parent: TraceContext | null): Traced {
    return { trace: new RequestTrace(traceId, parent, this.#emit), traceparent: null };
  }

  #open(sink: SpanSink): SpanSink {
    this.#sink = sink;
    for (const span of this.#early.splice(0)) sink.take(span);
    return sink;
  }

  #take(span: FinishedSpan): void {
    if (this.#sink !== null) this.#sink.take(span);
    else if (this.#early.length < MOST_EARLY) this.#early.push(span);
  }
}

/** By the trace's id alone, so that everybody with the same share decides the same. */
function isWithin(traceId: string, ratio: number): boolean {
  return Number.parseInt(traceId.slice(-13), 16) < ratio * 2 ** 52;
}
