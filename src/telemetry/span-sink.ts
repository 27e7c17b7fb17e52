import { type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { type Resource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { TracingSettings } from '../config/tracing-settings.ts';
import type { Log } from '../lib/log.ts';
import type { FinishedSpan, SpanKind as Kind } from './request-trace.ts';

export interface SpanSink {
  take(span: FinishedSpan): void;
  /** What was taken is on its way then, or given up. */
  close(): Promise<void>;
}

const KINDS: Readonly<Record<Kind, SpanKind>> = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
};
const SCOPE = { name: 'modelserve' };
const EXPORT_EVERY_MS = 2_000;
/** One that ends does not wait longer for a receiver that does not answer. */
const EXPORT_TIMEOUT_MS = 5_000;

/** Sends spans in batches, by OpenTelemetry's own exporter; what is too much at once is dropped. */
export function openSpanSink(
  { url, headers, resource }: Pick<TracingSettings, 'url' | 'headers' | 'resource'>,
  log: Log,
): SpanSink {
  const exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: EXPORT_TIMEOUT_MS });
  const processor = new BatchSpanProcessor({
    exporter: telling(exporter, log),
    scheduledDelayMillis: EXPORT_EVERY_MS,
    exportTimeoutMillis: EXPORT_TIMEOUT_MS,
  });
  const about = resourceFromAttributes({ ...resource });
  return {
    take: (span) => processor.onEnd(readable(span, about)),
    close: () => processor.shutdown().catch(() => undefined), // why was told
  };
}

/** The exporter, with a line in the log when it begins to fail, once for each reason, and when it works again. */
function telling(exporter: SpanExporter, log: Log): SpanExporter {
  let problem = '';
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const now = result.code === 0 ? '' : (result.error?.message ?? 'no reason given');
        if (now !== '' && now !== problem) log.warn({ problem: now }, 'spans are not taken');
        if (now === '' && problem !== '') log.info({}, 'spans are taken again');
        problem = now;
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
}

function readable(span: FinishedSpan, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentSpanId, name, kind, startMs, endMs, error, attributes } = span;
  const contextOf = (id: string): SpanContext => ({ traceId, spanId: id, traceFlags: TraceFlags.SAMPLED });
  return {
    ...{ name, attributes: { ...attributes }, links: [], events: [], ended: true, resource },
    kind: KINDS[kind],
    spanContext: () => contextOf(spanId),
    ...(parentSpanId === null ? {} : { parentSpanContext: contextOf(parentSpanId) }),
    startTime: hrTime(startMs),
    endTime: hrTime(endMs),
    duration: hrTime(endMs - startMs),
    status: error === null ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    instrumentationScope: SCOPE,
    ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
  };
}

function hrTime(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}
