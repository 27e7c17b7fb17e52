import { OUTCOMES, type Outcome } from '../../cluster/metrics/outcomes.ts';
import type {
  DeploymentSeries,
  GpuSeries,
  NodeSeries,
  Points,
  Series,
} from '../../cluster/metrics/series.ts';
import { QUANTILES } from './cluster-measurer.ts';
import { SeriesStore, SLOT_S } from './series-store.ts';

export interface SeriesRange {
  readonly deployments: readonly string[] | null;
  readonly nodes: readonly string[] | null;
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepS: number | null;
}

const MOST_POINTS = 360;
/** A day in slots, which is all there is. */
const MOST_SLOTS = 8_640;

/** The slots of each step, ascending. */
type Steps = readonly (readonly number[])[];

/** Values over time as the API gives them: slots put together to steps. */
export function readSeries(store: SeriesStore, range: SeriesRange): Series {
  const last = SeriesStore.slotOf(range.toMs);
  const first = Math.max(SeriesStore.slotOf(range.fromMs), last - MOST_SLOTS);
  const stepS = range.stepS ?? Math.max(1, Math.ceil((last - first) / MOST_POINTS)) * SLOT_S;
  const perStep = stepS / SLOT_S;
  const begin = Math.floor(first / perStep) * perStep; // so that steps of two answers coincide
  const steps: number[][] = [];
  for (let slot = begin; slot <= last; slot += perStep) {
    steps.push(Array.from({ length: perStep }, (_, index) => slot + index));
  }
  const names = range.deployments ?? namesOf(store, 'deployment');
  const nodes = range.nodes ?? namesOf(store, 'node');
  return {
    stepS,
    atMs: steps.map(([slot = 0]) => slot * SLOT_S * 1000),
    deployments: Object.fromEntries(names.map((name) => [name, deploymentSeries(store, name, steps)])),
    nodes: Object.fromEntries(nodes.map((node) => [node, nodeSeries(store, node, steps)])),
  };
}

function namesOf(store: SeriesStore, kind: string): readonly string[] {
  return store.keys.filter((key) => key.startsWith(`${kind} `)).map((key) => key.slice(kind.length + 1));
}

function deploymentSeries(store: SeriesStore, name: string, steps: Steps): DeploymentSeries {
  const key = `deployment ${name}`;
  const fields = store.fieldsOf(key);
  const occurring = OUTCOMES.filter((outcome) => fields.has(outcome));
  const rates = new Map(occurring.map((outcome) => [outcome, rate(store, [key, outcome], steps)]));
  const requestsPerS = steps.map((slots, step) => {
    if (!slots.some((slot) => store.read(key, 'readyReplicas', slot) !== null)) return null;
    return occurring.reduce((sum, outcome) => sum + (rates.get(outcome)?.[step] ?? 0), 0);
  });
  const weighted = (field: string): Points =>
    steps.map((slots) => weightedMean(store, [key, field], { slots, outcomes: occurring }));
  const [p50Ms, p95Ms, p99Ms] = QUANTILES.map(([field]) => weighted(field));
  return {
    requestsPerS,
    outcomesPerS: Object.fromEntries(rates),
    ...{ p50Ms: p50Ms ?? [], p95Ms: p95Ms ?? [], p99Ms: p99Ms ?? [] },
    queued: mean(store, [key, 'queued'], steps),
    inFlight: mean(store, [key, 'inFlight'], steps),
    readyReplicas: mean(store, [key, 'readyReplicas'], steps),
  };
}

function nodeSeries(store: SeriesStore, node: string, steps: Steps): NodeSeries {
  const prefix = `gpu ${node} `;
  const gpus = store.keys.filter((key) => key.startsWith(prefix));
  return {
    cpu: mean(store, [`node ${node}`, 'cpu'], steps),
    memoryUsedBytes: mean(store, [`node ${node}`, 'memoryUsedBytes'], steps),
    gpus: Object.fromEntries(
      gpus.map((key): [string, GpuSeries] => [
        key.slice(prefix.length),
        {
          held: mean(store, [key, 'held'], steps),
          busy: mean(store, [key, 'busy'], steps),
          memoryUsedBytes: mean(store, [key, 'memoryUsedBytes'], steps),
        },
      ]),
    ),
  };
}

type Column = readonly [key: string, field: string];

/** Of the values that were measured. */
function mean(store: SeriesStore, [key, field]: Column, steps: Steps): Points {
  return steps.map((slots) => {
    const values = slots.map((slot) => store.read(key, field, slot)).filter(isNumber);
    return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
  });
}

/** Per second of the slots that were measured. */
function rate(store: SeriesStore, column: Column, steps: Steps): Points {
  return mean(store, column, steps).map((count) => (count === null ? null : count / SLOT_S));
}

function weightedMean(
  store: SeriesStore,
  [key, field]: Column,
  { slots, outcomes }: { readonly slots: readonly number[]; readonly outcomes: readonly Outcome[] },
): number | null {
  let sum = 0;
  let weights = 0;
  for (const slot of slots) {
    const value = store.read(key, field, slot);
    if (value === null || value === 0) continue; // nothing was answered
    const weight = outcomes.reduce((total, outcome) => total + (store.read(key, outcome, slot) ?? 0), 0);
    sum += value * weight;
    weights += weight;
  }
  return weights === 0 ? null : sum / weights;
}

function isNumber(value: number | null): value is number {
  return value !== null && !Number.isNaN(value);
}
