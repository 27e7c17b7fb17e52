import type { WorkReport } from '../../channel/messages.ts';
import { BUCKET_COUNT, bucketOf, histogramOf } from '../../cluster/metrics/histogram.ts';
import { SIZE_BUCKETS, sizeBucketOf } from '../../cluster/metrics/sizes.ts';

const TIME_MS = BUCKET_COUNT;
const SIZES = BUCKET_COUNT + 1;
const ITEMS = SIZES + SIZE_BUCKETS;
const COUNT = ITEMS + 1;
const PLACES = COUNT + 1;

/**
 * What calls of one instance have taken, in memory that its thread writes and the main one reads: no message tells it, so
 * it costs a call no more than the counting.
 */
export class WorkMeter {
  readonly memory: SharedArrayBuffer;
  readonly #values: Float64Array;

  /** @param memory of another thread's object; not given: new */
  constructor(memory = new SharedArrayBuffer(PLACES * Float64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#values = new Float64Array(memory);
  }

  /** A call has left user code. */
  took(ms: number): void {
    this.#add(bucketOf(ms), 1);
    this.#add(TIME_MS, ms);
    this.#add(COUNT, 1);
  }

  /** A batch of so many calls has left user code. */
  gathered(size: number): void {
    this.#add(SIZES + sizeBucketOf(size), 1);
    this.#add(ITEMS, size);
  }

  /** Calls so far. */
  get count(): number {
    return this.#values[COUNT] ?? 0;
  }

  /** All of them together. */
  static report(meters: readonly WorkMeter[]): WorkReport {
    const sums = new Float64Array(PLACES);
    for (const meter of meters) {
      for (let place = 0; place < PLACES; place += 1)
        sums[place] = (sums[place] ?? 0) + (meter.#values[place] ?? 0);
    }
    const times = histogramOf(sums.subarray(0, BUCKET_COUNT), 0).buckets;
    const sizes = histogramOf(sums.subarray(SIZES, ITEMS), 0).buckets;
    return {
      times: { sum_s: (sums[TIME_MS] ?? 0) / 1000, buckets: times },
      batches: { sum: sums[ITEMS] ?? 0, buckets: sizes },
    };
  }

  #add(place: number, amount: number): void {
    this.#values[place] = (this.#values[place] ?? 0) + amount;
  }
}
