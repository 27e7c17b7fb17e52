/**
 * Durations in buckets whose width grows with them: four to a doubling, from 64 µs to 36 minutes. So a quantile is known to about
 * a tenth of itself, and finding the bucket takes a count of leading zeros and a shift.
 */
const FIRST_EXPONENT = 6;
const LAST_EXPONENT = 30;
/** The first is for all below 64 µs, the last also for what is beyond. */
export const BUCKET_COUNT = (LAST_EXPONENT - FIRST_EXPONENT + 1) * 4 + 1;

const MOST_MS = 2 ** (LAST_EXPONENT + 1) / 1000;

/** The bucket of a duration. */
export function bucketOf(durationMs: number): number {
  if (durationMs >= MOST_MS) return BUCKET_COUNT - 1;
  const us = (durationMs * 1000) | 0;
  if (us < 1 << FIRST_EXPONENT) return 0;
  const exponent = 31 - Math.clz32(us);
  return ((exponent - FIRST_EXPONENT) << 2) + ((us >>> (exponent - 2)) & 3) + 1;
}

/** Where a bucket ends, exclusive, in seconds. */
export function bucketEndS(bucket: number): number {
  if (bucket <= 0) return 2 ** FIRST_EXPONENT / 1e6;
  const quarter = bucket - 1;
  return (2 ** (FIRST_EXPONENT + (quarter >> 2)) * (1 + ((quarter & 3) + 1) / 4)) / 1e6;
}

/** A histogram as it travels and is added up. */
export interface Histogram {
  readonly sumS: number;
  /** index and count in turn, of the buckets that are not empty, ascending */
  readonly buckets: readonly number[];
}

export const EMPTY_HISTOGRAM: Histogram = { sumS: 0, buckets: [] };

export function histogramOf(counts: Float64Array, sumS: number): Histogram {
  const buckets: number[] = [];
  for (let index = 0; index < counts.length; index += 1) {
    const count = counts[index] ?? 0;
    if (count !== 0) buckets.push(index, count);
  }
  return { sumS, buckets };
}

export function countOf({ buckets }: Pick<Histogram, 'buckets'>): number {
  let count = 0;
  for (let place = 1; place < buckets.length; place += 2) count += buckets[place] ?? 0;
  return count;
}

/** Adds a histogram, `times` times (-1 takes it away), to counts per bucket. */
export function addBuckets(counts: Float64Array, { buckets }: Histogram, times: 1 | -1): void {
  for (let place = 0; place + 1 < buckets.length; place += 2) {
    const index = Math.min(BUCKET_COUNT - 1, Math.max(0, buckets[place] ?? 0));
    counts[index] = (counts[index] ?? 0) + times * (buckets[place + 1] ?? 0);
  }
}

export function addHistograms(one: Histogram, other: Histogram): Histogram {
  if (one.buckets.length === 0) return other;
  if (other.buckets.length === 0) return one;
  const counts = new Float64Array(BUCKET_COUNT);
  addBuckets(counts, one, 1);
  addBuckets(counts, other, 1);
  return histogramOf(counts, one.sumS + other.sumS);
}

/**
 * What came since `before` was taken. Where `now` has less, its process began anew, and all it has came since.
 */
export function since(now: Histogram, before: Histogram): Histogram {
  if (before.buckets.length === 0) return now;
  if (isSame(now, before)) return EMPTY_HISTOGRAM;
  const counts = new Float64Array(BUCKET_COUNT);
  addBuckets(counts, now, 1);
  addBuckets(counts, before, -1);
  if (counts.some((count) => count < 0)) return now;
  return histogramOf(counts, Math.max(0, now.sumS - before.sumS));
}

/** Most of what nodes count has not changed from one look to the next. */
function isSame(now: Histogram, before: Histogram): boolean {
  const { buckets } = before;
  return (
    now.buckets.length === buckets.length && now.buckets.every((value, place) => value === buckets[place])
  );
}

/**
 * The duration that a share of all stay below, in ms, as if they lay evenly in their bucket.
 * @param share 0 to 1
 * @returns null where there is none
 */
export function quantileMs(histogram: Histogram, share: number): number | null {
  const total = countOf(histogram);
  if (total === 0) return null;
  let left = share * total;
  let lastEndMs = 0;
  for (let place = 0; place + 1 < histogram.buckets.length; place += 2) {
    const index = histogram.buckets[place] ?? 0;
    const count = histogram.buckets[place + 1] ?? 0;
    const beginMs = index === 0 ? 0 : bucketEndS(index - 1) * 1000;
    lastEndMs = bucketEndS(index) * 1000;
    if (left <= count) return beginMs + (lastEndMs - beginMs) * (left / count);
    left -= count;
  }
  return lastEndMs;
}
