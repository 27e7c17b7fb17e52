import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addBuckets,
  addHistograms,
  BUCKET_COUNT,
  bucketEndS,
  bucketOf,
  countOf,
  EMPTY_HISTOGRAM,
  type Histogram,
  histogramOf,
  quantileMs,
  since,
} from '../../../src/cluster/metrics/histogram.ts';

const durationMs = fc.oneof(
  fc.double({ min: 0, max: 3e6, noNaN: true }),
  fc.double({ min: 0, max: 5, noNaN: true }),
);

function of(durations: readonly number[]): Histogram {
  const counts = new Float64Array(BUCKET_COUNT);
  for (const one of durations) counts[bucketOf(one)]! += 1;
  return histogramOf(
    counts,
    durations.reduce((sum, one) => sum + one / 1000, 0),
  );
}

describe('a bucket', () => {
  it('holds what lies between its ends, and is at most a quarter wide', () => {
    fc.assert(
      fc.property(durationMs, (ms) => {
        const bucket = bucketOf(ms);
        expect(bucket).toBeGreaterThanOrEqual(0);
        expect(bucket).toBeLessThan(BUCKET_COUNT);
        const us = Math.floor(ms * 1000);
        if (bucket > 0) expect(us).toBeGreaterThanOrEqual(Math.round(bucketEndS(bucket - 1) * 1e6));
        if (bucket < BUCKET_COUNT - 1) expect(us).toBeLessThan(Math.round(bucketEndS(bucket) * 1e6));
      }),
    );
  });

  it.each([
    [0, 0],
    [0.0639, 0],
    [0.064, 1],
    [0.08, 2],
    [0.128, 5],
    [1e12, BUCKET_COUNT - 1],
    [Number.POSITIVE_INFINITY, BUCKET_COUNT - 1],
  ])('of %d ms is %i', (ms, bucket) => expect(bucketOf(ms)).toBe(bucket));
});

it('tells quantiles to about an eighth', () => {
  const durations = Array.from({ length: 1_000 }, (_, index) => index + 1);
  for (const [share, exact] of [
    [0.5, 500],
    [0.95, 950],
    [0.99, 990],
  ] as const) {
    const found = quantileMs(of(durations), share) ?? 0;
    expect(Math.abs(found - exact) / exact, `${share}`).toBeLessThan(0.125);
  }
  expect(quantileMs(EMPTY_HISTOGRAM, 0.5)).toBeNull();
});

it('adds up, and gives back what came since', () => {
  fc.assert(
    fc.property(fc.array(durationMs), fc.array(durationMs), (before, after) => {
      const both = addHistograms(of(before), of(after));
      expect(both.buckets).toEqual(of([...before, ...after]).buckets);
      expect(since(both, of(before)).buckets).toEqual(of(after).buckets);
      expect(countOf(both)).toBe(before.length + after.length);
    }),
  );
});

it('takes one that has less than before for a new one', () => {
  expect(since(of([1, 1]), of([5]))).toEqual(of([1, 1]));
});

it('puts what a later version may send into its own buckets', () => {
  const counts = new Float64Array(BUCKET_COUNT);
  addBuckets(counts, { sumS: 1, buckets: [BUCKET_COUNT + 7, 3, -2, 1] }, 1);
  expect([counts[BUCKET_COUNT - 1], counts[0]]).toEqual([3, 1]);
});
