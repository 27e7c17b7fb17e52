import { OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import type {
  DeploymentSeries,
  GpuSeries,
  NodeSeries,
  Points,
  Series,
} from '../../cluster/metrics/series.ts';
import { TOTAL_KEY } from './cluster-measurer.ts';
import { SeriesStore, SLOT_S } from './series-store.ts';
import { REQUEST_QUANTILES, WORK_QUANTILES } from './slot-recorder.ts';

type Percentile = (typeof REQUEST_QUANTILES)[number][0] | (typeof WORK_QUANTILES)[number][0];

export interface SeriesRange {
  readonly deployments: readonly string[] | null;
  readonly nodes: readonly string[] | null;
  /** all deployments together as well */
  readonly total: boolean;
  readonly fromMs: number;
  readonly toMs: number;
  readonly stepS: number | null;
}

const MOST_POINTS = 360;
/** A day in slots, which is all there is. */
const MOST_SLOTS = 8_640;

/** Which slots are read, and how many of them are put together. */
interface Steps {
  readonly first: number;
  /** of slots, a multiple of `perStep` */
  readonly count: number;
  readonly perStep: number;
}

/** Values over time as the API gives them: slots put together to steps. */
export function readSeries(store: SeriesStore, range: SeriesRange): Series {
  const last = SeriesStore.slotOf(range.toMs);
  const earliest = Math.max(SeriesStore.slotOf(range.fromMs), last - MOST_SLOTS);
  const stepS = range.stepS ?? Math.max(1, Math.ceil((last - earliest) / MOST_POINTS)) * SLOT_S;
  const perStep = stepS / SLOT_S;
  const first = Math.floor(earliest / perStep) * perStep; // so that steps of two answers coincide
  const points = Math.max(0, Math.floor((last - first) / perStep) + 1);
  const read = new Reader(store, { first, count: points * perStep, perStep });
  const names = range.deployments ?? namesOf(store, 'deployment');
  const nodes = range.nodes ?? namesOf(store, 'node');
  return {
    stepS,
    atMs: Array.from({ length: points }, (_, step) => (first + step * perStep) * SLOT_S * 1000),
    total: range.total ? read.deployment(TOTAL_KEY) : null,
    deployments: Object.fromEntries(names.map((name) => [name, read.deployment(`deployment ${name}`)])),
    nodes: Object.fromEntries(nodes.map((node) => [node, read.node(node)])),
  };
}

function namesOf(store: SeriesStore, kind: string): readonly string[] {
  return store.keys.filter((key) => key.startsWith(`${kind} `)).map((key) => key.slice(kind.length + 1));
}

/** Columns of a store, step by step. */
class Reader {
  readonly #store: SeriesStore;
  readonly #steps: Steps;

  constructor(store: SeriesStore, steps: Steps) {
    this.#store = store;
    this.#steps = steps;
  }

  deployment(key: string): DeploymentSeries {
    const fields = this.#store.fieldsOf(key);
    const occurring = OUTCOMES.filter((outcome) => fields.has(outcome));
    const counts = occurring.map((outcome) => this.#column(key, outcome));
    const ready = this.#column(key, 'readyReplicas');
    const all = ready.map((value, slot) =>
      Number.isNaN(value) ? value : counts.reduce((sum, column) => sum + (column[slot] ?? 0), 0),
    );
    const percentiles = [...REQUEST_QUANTILES, ...WORK_QUANTILES].map(([field]) => [
      field,
      this.#weighted(this.#column(key, field), all),
    ]);
    return {
      requestsPerS: this.#rate(all),
      outcomesPerS: Object.fromEntries(
        occurring.map((outcome, index) => [outcome, this.#rate(counts[index] ?? all)]),
      ),
      ...(Object.fromEntries(percentiles) as Record<Percentile, Points>),
      batchSize: this.#ratio(this.#column(key, 'batchedCalls'), this.#column(key, 'batches')),
      queued: this.#mean(this.#column(key, 'queued')),
      inFlight: this.#mean(this.#column(key, 'inFlight')),
      readyReplicas: this.#mean(ready),
    };
  }

  node(node: string): NodeSeries {
    const mean = (key: string, field: string): Points => this.#mean(this.#column(key, field));
    const prefix = `gpu ${node} `;
    const gpus = this.#store.keys.filter((key) => key.startsWith(prefix));
    return {
      cpu: mean(`node ${node}`, 'cpu'),
      memoryUsedBytes: mean(`node ${node}`, 'memoryUsedBytes'),
      gpus: Object.fromEntries(
        gpus.map((key): [string, GpuSeries] => [
          key.slice(prefix.length),
          {
            held: mean(key, 'held'),
            busy: mean(key, 'busy'),
            memoryUsedBytes: mean(key, 'memoryUsedBytes'),
          },
        ]),
      ),
    };
  }

  #column(key: string, field: string): Float32Array {
    return this.#store.column(key, field, this.#steps);
  }

  /** Per second of the slots that were measured. */
  #rate(counts: Float32Array): Points {
    return this.#mean(counts).map((count) => (count === null ? null : count / SLOT_S));
  }

  /** Of the sums over a step. */
  #ratio(counts: Float32Array, of: Float32Array): Points {
    const [above, below] = [this.#mean(counts), this.#mean(of)];
    return above.map((count, step) => {
      const divisor = below[step] ?? 0;
      return count === null || divisor === 0 ? null : count / divisor;
    });
  }

  /** Of the values that were measured. */
  #mean(values: Float32Array): Points {
    return this.#weighted(values, null);
  }

  /** @param weights null: all the same. A value of 0 counts for nothing where there are some: nothing was answered */
  #weighted(values: Float32Array, weights: Float32Array | null): Points {
    const { count, perStep } = this.#steps;
    return Array.from({ length: count / perStep }, (_, step) => {
      const begin = step * perStep;
      return weightedMean(
        values.subarray(begin, begin + perStep),
        weights?.subarray(begin, begin + perStep) ?? null,
      );
    });
  }
}

/** @returns null where nothing was measured */
function weightedMean(values: Float32Array, weights: Float32Array | null): number | null {
  let sum = 0;
  let total = 0;
  for (let place = 0; place < values.length; place += 1) {
    const value = values[place] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    const weight = weights === null ? 1 : weightOf(value, weights[place]);
    sum += value * weight;
    total += weight;
  }
  return total === 0 ? null : sum / total;
}

/** Of a slot in which nothing was answered, or counted: none. */
function weightOf(value: number, weight: number | undefined): number {
  return value === 0 || weight === undefined || Number.isNaN(weight) ? 0 : weight;
}
