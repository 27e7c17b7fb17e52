import { useMemo, useState } from 'preact/hooks';
import { FAILURES } from '../../cluster/metrics/outcomes.ts';
import type { DeploymentSeries, Points, Series } from '../../cluster/metrics/series.ts';
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
  const query = `series?deployment=${encodeURIComponent(deployment ?? '*')}&minutes=${minutes}`;
  const { data, error } = usePolled<Series>(query, EVERY_MS, () => `&from=${Date.now() - minutes * 60_000}`);
  return (
    <Card title="Traffic" aside={<SpanChoice minutes={minutes} choose={setMinutes} />}>
      {error !== null && <Notice tone="bad" title={error} />}
      {data === null ? <Empty>Asking the head …</Empty> : <Pictures series={data} />}
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

function Pictures({ series }: { readonly series: Series }) {
  const { times, rates, latencies, loads } = useMemo(() => linesOf(series), [series]);
  return (
    <div class="grid">
      <Chart title="Requests" times={times} lines={rates} text={rateText} />
      <Chart title="Latency" times={times} lines={latencies} text={millisecondsText} />
      <Chart title="At work" times={times} lines={loads} text={countOf} />
    </div>
  );
}

function linesOf({ atMs, deployments }: Series): Readonly<
  Record<'rates' | 'latencies' | 'loads', readonly Line[]>
> & {
  readonly times: readonly number[];
} {
  const all = Object.values(deployments);
  const total = (pick: (one: DeploymentSeries) => Points): Points =>
    combined(all.map(pick), atMs.length, (left, right) => left + right);
  const worst = (pick: (one: DeploymentSeries) => Points): Points =>
    combined(all.map(pick), atMs.length, Math.max);
  return {
    times: atMs.map((ms) => ms / 1000),
    rates: [
      { name: 'all', values: total((one) => one.requestsPerS), color: 0 },
      { name: 'failed', values: total((one) => failuresOf(one, atMs.length)), color: 3 },
    ],
    latencies: [
      { name: 'p50', values: worst((one) => one.p50Ms), color: 1 },
      { name: 'p95', values: worst((one) => one.p95Ms), color: 2 },
      { name: 'p99', values: worst((one) => one.p99Ms), color: 4 },
    ],
    loads: [
      { name: 'at replicas', values: total((one) => one.inFlight), color: 0 },
      { name: 'in the queue', values: total((one) => one.queued), color: 2 },
      { name: 'replicas ready', values: total((one) => one.readyReplicas), color: 1 },
    ],
  };
}

function failuresOf({ outcomesPerS }: DeploymentSeries, length: number): Points {
  return combined(
    FAILURES.map((outcome) => outcomesPerS[outcome]).filter((points) => points !== undefined),
    length,
    (left, right) => left + right,
  );
}

/** One list of points from several; a time at which none has a value has none. */
function combined(
  lists: readonly Points[],
  length: number,
  join: (left: number, right: number) => number,
): Points {
  return Array.from({ length }, (_nothing, index) => {
    const values = lists.map((list) => list[index] ?? null).filter((value) => value !== null);
    return values.length === 0 ? null : values.reduce(join);
  });
}

function countOf(value: number | null): string {
  return value === null ? '–' : String(Math.round(value * 10) / 10);
}
