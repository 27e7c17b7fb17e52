import { useMemo, useState } from 'preact/hooks';
import { FAILURES, type Outcome } from '../../cluster/metrics/outcomes.ts';
import type { DeploymentSeries, Series } from '../../cluster/metrics/series.ts';
import { failuresOf } from '../app/failures.ts';
import { usePolled } from '../app/use-polled.ts';
import { millisecondsText, rateText } from '../app/words.ts';
import { Card, Empty, Notice } from './card.tsx';
import { Chart, type Line } from './chart.tsx';

const SPANS = [
  { name: '15 min', minutes: 15 },
  { name: '1 h', minutes: 60 },
  { name: '6 h', minutes: 360 },
  { name: '24 h', minutes: 1_440 },
] as const;
const EVERY_MS = 10_000;

/** Traffic, errors, latencies and queue over time, of one deployment or of all of them together. */
export function SeriesCharts({ deployment }: { readonly deployment: string | null }) {
  const [minutes, setMinutes] = useState<number>(SPANS[0].minutes);
  const which = deployment === null ? 'total=1' : `deployment=${encodeURIComponent(deployment)}`;
  const query = `series?${which}&minutes=${minutes}`;
  const { data, error } = usePolled<Series>(query, EVERY_MS, () => `&from=${Date.now() - minutes * 60_000}`);
  const times = useMemo(() => (data?.atMs ?? []).map((ms) => ms / 1000), [data]);
  const series = data === null ? null : (data.total ?? data.deployments[deployment ?? ''] ?? null);
  return (
    <Card title="Traffic" aside={<SpanChoice minutes={minutes} choose={setMinutes} />}>
      {error !== null && <Notice tone="bad" title={error} />}
      {series === null ? (
        <Empty>Asking the head …</Empty>
      ) : (
        <Pictures times={times} series={series} isOfOne={deployment !== null} />
      )}
    </Card>
  );
}

function SpanChoice({
  minutes,
  choose,
}: {
  readonly minutes: number;
  readonly choose: (minutes: number) => void;
}) {
  return (
    <fieldset class="row choice">
      <legend class="skip">Time span</legend>
      {SPANS.map((span) => (
        <button
          key={span.name}
          type="button"
          aria-pressed={span.minutes === minutes}
          onClick={() => choose(span.minutes)}
        >
          {span.name}
        </button>
      ))}
    </fieldset>
  );
}

function Pictures({
  times,
  series,
  isOfOne,
}: {
  readonly times: readonly number[];
  readonly series: DeploymentSeries;
  /** of several deployments together, batches and user code say little */
  readonly isOfOne: boolean;
}) {
  const { rates, errors, latencies, loads, parts, batches } = useMemo(() => linesOf(series), [series]);
  return (
    <div class="charts">
      <Chart title="Requests" times={times} lines={rates} text={rateText} />
      <Chart title="Latency" times={times} lines={latencies} text={millisecondsText} />
      <Chart title="At work" times={times} lines={loads} text={countOf} />
      {isOfOne && <Chart title="Queue and user code" times={times} lines={parts} text={millisecondsText} />}
      {isOfOne && batches.length > 0 && (
        <Chart title="Calls in a batch" times={times} lines={batches} text={countOf} />
      )}
      {errors.length > 0 && <Chart title="Errors by kind" times={times} lines={errors} text={rateText} />}
    </div>
  );
}

/** What did not end well, in the order of the colours. */
const KINDS: readonly Outcome[] = [...FAILURES, 'client_error', 'cancelled'];

function linesOf(
  one: DeploymentSeries,
): Readonly<Record<'rates' | 'errors' | 'latencies' | 'loads' | 'parts' | 'batches', readonly Line[]>> {
  return {
    rates: [
      { name: 'all', values: one.requestsPerS, color: 0 },
      { name: 'failed', values: failuresOf(one), color: 3 },
    ],
    errors: KINDS.flatMap((outcome, color) => {
      const values = one.outcomesPerS[outcome];
      return values?.some((value) => (value ?? 0) > 0)
        ? [{ name: outcome.replace('_', ' '), values, color }]
        : [];
    }),
    latencies: [
      { name: 'p50', values: one.p50Ms, color: 1 },
      { name: 'p95', values: one.p95Ms, color: 2 },
      { name: 'p99', values: one.p99Ms, color: 4 },
    ],
    loads: [
      { name: 'at replicas', values: one.inFlight, color: 0 },
      { name: 'in the queue', values: one.queued, color: 2 },
      { name: 'replicas ready', values: one.readyReplicas, color: 1 },
    ],
    parts: [
      { name: 'queue p50', values: one.queueP50Ms, color: 6 },
      { name: 'queue p95', values: one.queueP95Ms, color: 0 },
      { name: 'code p50', values: one.userCodeP50Ms, color: 1 },
      { name: 'code p95', values: one.userCodeP95Ms, color: 2 },
    ],
    batches: one.batchSize.some((size) => size !== null)
      ? [{ name: 'on average', values: one.batchSize, color: 4 }]
      : [],
  };
}

function countOf(value: number | null): string {
  return value === null ? '–' : String(Math.round(value * 10) / 10);
}
