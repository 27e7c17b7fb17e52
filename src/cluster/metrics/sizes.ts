import { addHistograms, type Histogram, since } from './histogram.ts';

/** Sizes (bytes, items) in buckets that end at the powers of two: bucket 0 has what is 1 at most, bucket 10 what is 1024. */
export interface SizeHistogram {
  readonly sum: number;
  /** index and count in turn, of the buckets that are not empty, ascending */
  readonly buckets: readonly number[];
}

/** The last one also has what is beyond, which no body is. */
export const SIZE_BUCKETS = 42;

export const NO_SIZES: SizeHistogram = { sum: 0, buckets: [] };

/** The bucket of a size. */
export function sizeBucketOf(size: number): number {
  if (size <= 1) return 0;
  if (size <= 0x4000_0000) return 32 - Math.clz32(size - 1);
  return Math.min(SIZE_BUCKETS - 1, Math.ceil(Math.log2(size)));
}

export function addSizes(one: SizeHistogram, other: SizeHistogram): SizeHistogram {
  return asSizes(addHistograms(asHistogram(one), asHistogram(other)));
}

/** See `since` of histograms. */
export function sizesSince(now: SizeHistogram, before: SizeHistogram): SizeHistogram {
  return asSizes(since(asHistogram(now), asHistogram(before)));
}

function asHistogram({ sum, buckets }: SizeHistogram): Histogram {
  return { sumS: sum, buckets };
}

function asSizes({ sumS, buckets }: Histogram): SizeHistogram {
  return { sum: sumS, buckets };
}
