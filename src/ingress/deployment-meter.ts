import { BUCKET_COUNT, bucketOf, histogramOf } from '../cluster/metrics/histogram.ts';
import { OUTCOMES, type Outcome } from '../cluster/metrics/outcomes.ts';
import type { DeploymentSample } from '../cluster/metrics/samples.ts';
import { SIZE_BUCKETS, type SizeHistogram, sizeBucketOf } from '../cluster/metrics/sizes.ts';

/** Places of the sums. */
const REQUEST_BYTES = 0;
const RESPONSE_BYTES = 1;
const DURATION_MS = 2;
const WAIT_MS = 3;
const WORK_MS = 4;
const OWN_MS = 5;

/**
 * Counts what becomes of a deployment's requests. All of it is typed arrays and plain fields, because it is on the way of
 * every request: no label is looked up, and nothing is allocated.
 */
export class DeploymentMeter {
  readonly #outcomes = new Float64Array(OUTCOMES.length);
  readonly #durations = new Float64Array(BUCKET_COUNT);
  readonly #waits = new Float64Array(BUCKET_COUNT);
  readonly #works = new Float64Array(BUCKET_COUNT);
  readonly #owns = new Float64Array(BUCKET_COUNT);
  readonly #requestSizes = new Float64Array(SIZE_BUCKETS);
  readonly #responseSizes = new Float64Array(SIZE_BUCKETS);
  readonly #sums = new Float64Array(6);
  #retries = 0;
  #refusals = 0;

  /** A request is over. @param outcome place in OUTCOMES */
  count(outcome: number): void {
    (this.#outcomes[outcome] as number) += 1;
  }

  /** How long one took whose client got an answer. */
  took(durationMs: number): void {
    (this.#durations[bucketOf(durationMs)] as number) += 1;
    (this.#sums[DURATION_MS] as number) += durationMs;
  }

  /** How long one took that reached a replica, how long it waited for it, and was there; the rest is the ingress' own. */
  worked(durationMs: number, waitMs: number, workMs: number): void {
    this.took(durationMs);
    const ownMs = Math.max(0, durationMs - waitMs - workMs);
    (this.#owns[bucketOf(ownMs)] as number) += 1;
    (this.#sums[OWN_MS] as number) += ownMs;
    (this.#waits[bucketOf(waitMs)] as number) += 1;
    (this.#works[bucketOf(workMs)] as number) += 1;
    (this.#sums[WAIT_MS] as number) += waitMs;
    (this.#sums[WORK_MS] as number) += workMs;
  }

  moved(requestBytes: number, responseBytes: number): void {
    (this.#requestSizes[sizeBucketOf(requestBytes)] as number) += 1;
    (this.#responseSizes[sizeBucketOf(responseBytes)] as number) += 1;
    (this.#sums[REQUEST_BYTES] as number) += requestBytes;
    (this.#sums[RESPONSE_BYTES] as number) += responseBytes;
  }

  countRetry(): void {
    this.#retries += 1;
  }

  countRefusal(): void {
    this.#refusals += 1;
  }

  countOf(outcome: Outcome): number {
    return this.#outcomes[OUTCOMES.indexOf(outcome)] ?? 0;
  }

  /** @param gauges what is there now */
  sample(
    deployment: string,
    gauges: Pick<DeploymentSample, 'inFlight' | 'queued' | 'ready'>,
  ): DeploymentSample {
    const sumOf = (place: number): number => this.#sums[place] ?? 0;
    const outcomes = OUTCOMES.map((outcome, place) => [outcome, this.#outcomes[place] ?? 0]);
    return {
      deployment,
      outcomes: Object.fromEntries(outcomes) as DeploymentSample['outcomes'],
      requestBytes: sizesOf(this.#requestSizes, sumOf(REQUEST_BYTES)),
      responseBytes: sizesOf(this.#responseSizes, sumOf(RESPONSE_BYTES)),
      retries: this.#retries,
      refusals: this.#refusals,
      duration: histogramOf(this.#durations, sumOf(DURATION_MS) / 1000),
      wait: histogramOf(this.#waits, sumOf(WAIT_MS) / 1000),
      work: histogramOf(this.#works, sumOf(WORK_MS) / 1000),
      own: histogramOf(this.#owns, sumOf(OWN_MS) / 1000),
      inFlight: gauges.inFlight,
      queued: gauges.queued,
      ready: gauges.ready,
    };
  }
}

function sizesOf(counts: Float64Array, sum: number): SizeHistogram {
  return { sum, buckets: histogramOf(counts, 0).buckets };
}

const place = (outcome: Outcome): number => OUTCOMES.indexOf(outcome);

/** Places of outcomes, for those who count often. */
export const OK = place('ok');
export const CANCELLED = place('cancelled');
const APPLICATION_ERROR = place('application_error');
const CLIENT_ERROR = place('client_error');

const OF_STATUS: Readonly<Record<number, number>> = {
  429: place('refused'),
  500: place('replica_failed'),
  502: place('bad_gateway'),
  503: place('unavailable'),
  504: place('timeout'),
};

/** How a request ended that the ingress itself answered with this status. */
export function outcomeOfError(status: number): number {
  return OF_STATUS[status] ?? (status < 500 ? CLIENT_ERROR : place('replica_failed'));
}

/** How a request ended that user code answered. @param ok what the runner says of its result */
export function outcomeOfAnswer(status: number, ok: boolean): number {
  if (ok && status < 400) return OK;
  return ok && status < 500 ? CLIENT_ERROR : APPLICATION_ERROR;
}
