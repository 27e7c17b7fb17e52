import { countOf, type Histogram, quantileMs } from '../../cluster/metrics/histogram.ts';
import { OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import { addDeployment, addWork, type DeploymentSample, type Work } from '../../cluster/metrics/samples.ts';
import { coarse } from './packed-hour.ts';
import type { SeriesStore } from './series-store.ts';

/** What came of a deployment since the look before. */
export interface Counted {
  readonly requests: DeploymentSample | undefined;
  readonly work: Work | undefined;
}

/** Fields of percentiles: of which durations of requests, and which share of them stays below. */
export const REQUEST_QUANTILES = [
  ['p50Ms', 'duration', 0.5],
  ['p95Ms', 'duration', 0.95],
  ['p99Ms', 'duration', 0.99],
  ['queueP50Ms', 'wait', 0.5],
  ['queueP95Ms', 'wait', 0.95],
] as const;

/** The same of how long calls were in user code. */
export const WORK_QUANTILES = [
  ['userCodeP50Ms', 0.5],
  ['userCodeP95Ms', 0.95],
] as const;

/** Fields that count what came in a slot. */
const COUNTERS = [...OUTCOMES, 'batches', 'batchedCalls'] as const;

/** What deployments did in the slot that is on, growing from look to look. */
export class SlotRecorder {
  readonly #series: SeriesStore;
  #slot = -1;
  /** what has come in the slot so far, by key of the series */
  #requests = new Map<string, DeploymentSample>();
  #works = new Map<string, Work>();
  /** what an earlier head had counted in the slot in which this one began, by key */
  #inherited: Map<string, Readonly<Record<string, number>>> | null = null;

  constructor(series: SeriesStore) {
    this.#series = series;
  }

  get slot(): number {
    return this.#slot;
  }

  enter(slot: number): void {
    if (slot === this.#slot) return;
    this.#inherited = this.#slot === -1 ? new Map() : null;
    this.#slot = slot;
    this.#requests = new Map();
    this.#works = new Map();
    this.#series.forget(slot);
  }

  /** @param ready replicas, now */
  record(key: string, { requests, work }: Counted, ready: number): void {
    const before = this.#inheritedBy(key);
    const values: Record<string, number> = {
      readyReplicas: ready,
      queued: requests?.queued ?? 0,
      inFlight: requests?.inFlight ?? 0,
      ...requestValues(together(this.#requests, key, requests, addDeployment)),
      ...workValues(together(this.#works, key, work, addWork)),
    };
    for (const field of COUNTERS) if (values[field] !== undefined) values[field] += before[field] ?? 0;
    this.#series.write(key, this.#slot, values);
  }

  /** Read before this head writes there: a head that is started anew within ten seconds goes on in the same slot. */
  #inheritedBy(key: string): Readonly<Record<string, number>> {
    if (this.#inherited === null) return {};
    const known =
      this.#inherited.get(key) ??
      Object.fromEntries(COUNTERS.map((field) => [field, this.#series.read(key, field, this.#slot) ?? 0]));
    this.#inherited.set(key, known);
    return known;
  }
}

/** Adds what is new to what is there. @returns undefined where there is nothing of either */
function together<Item>(
  sums: Map<string, Item>,
  key: string,
  fresh: Item | undefined,
  add: (one: Item, other: Item) => Item,
): Item | undefined {
  const known = sums.get(key);
  if (fresh === undefined) return known;
  const sum = known === undefined ? fresh : add(known, fresh);
  sums.set(key, sum);
  return sum;
}

function requestValues(requests: DeploymentSample | undefined): Readonly<Record<string, number>> {
  if (requests === undefined) return {};
  const quantiles = REQUEST_QUANTILES.map(([field, of, share]) => [field, quantileOf(requests[of], share)]);
  return { ...requests.outcomes, ...Object.fromEntries(quantiles.filter(([, ms]) => ms !== null)) };
}

function workValues(work: Work | undefined): Readonly<Record<string, number>> {
  if (work === undefined) return {};
  const quantiles = WORK_QUANTILES.map(([field, share]) => [field, quantileOf(work.times, share)]);
  return {
    ...{ batches: countOf(work.batches), batchedCalls: work.batches.sum },
    ...Object.fromEntries(quantiles.filter(([, ms]) => ms !== null)),
  };
}

/** A bucket tells it to about a tenth: more digits would take twice the memory of a day. */
function quantileOf(histogram: Histogram, share: number): number | null {
  const ms = quantileMs(histogram, share);
  return ms === null ? null : coarse(ms);
}
