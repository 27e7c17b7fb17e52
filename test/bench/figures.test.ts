import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { rowsFromMatrix } from '../../bench/figures/from-matrix.mjs';
import { judged } from '../../bench/figures/row.mjs';
import { median, ratiosByRound, spreadOf } from '../../bench/lib/statistics.mjs';
import { MANY, ONE } from '../../bench/matrix.mjs';

function sample(contestant: string, round: number, figures: Partial<Record<string, number>> = {}) {
  return {
    contestant,
    round,
    requestsPerSecond: 100,
    cpuUsPerRequest: 50,
    p50Us: 80,
    p99Us: 90,
    errors: 0,
    ...figures,
  };
}

describe('statistics', () => {
  test.each([
    { values: [], middle: null },
    { values: [3], middle: 3 },
    { values: [10, 1, 2], middle: 2 },
    { values: [4, 1, 3, 2], middle: 2.5 },
  ])('the median of $values is $middle', ({ values, middle }) => {
    expect(median(values)).toBe(middle);
  });

  test('the median lies within its spread and does not reorder what it was given', () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const copy = [...values];
        const spread = spreadOf(values);
        expect(values).toEqual(copy);
        expect(spread?.min).toBeLessThanOrEqual(spread?.median ?? Number.NaN);
        expect(spread?.max).toBeGreaterThanOrEqual(spread?.median ?? Number.NaN);
      }),
    );
  });

  test('ratios pair samples of one round and leave out rounds that one has missed', () => {
    const above = [sample('a', 1, { requestsPerSecond: 10 }), sample('a', 3, { requestsPerSecond: 30 })];
    const below = [sample('b', 3, { requestsPerSecond: 15 }), sample('b', 2)];
    expect(ratiosByRound(above, below, (one) => one.requestsPerSecond)).toEqual([2]);
  });
});

describe('judging', () => {
  test.each([
    { limit: { atLeast: 2 }, values: [1, 2, 9], verdict: 'pass' },
    { limit: { atLeast: 2 }, values: [1, 1.9, 9], verdict: 'short' },
    { limit: { atMost: 60 }, values: [60], verdict: 'pass' },
    { limit: { atMost: 60 }, values: [61], verdict: 'short' },
    { limit: { atMost: 60 }, values: [], verdict: 'not measured' },
  ])('$values against $limit: $verdict', ({ limit, values, verdict }) => {
    expect(judged({ what: 'it', unit: '×', values, ...limit }).verdict).toBe(verdict);
  });
});

describe('targets of the matrix', () => {
  const rowsOf = (cells: readonly object[]) =>
    new Map(rowsFromMatrix({ cells }).map((row: { what: string }) => [row.what, row]));

  test('are judged from ratios within a round', () => {
    const rows = rowsOf([
      {
        ...MANY,
        samples: [
          sample('fastapi', 1, { requestsPerSecond: 10, cpuUsPerRequest: 100 }),
          sample('modelserve-uvloop', 1, { requestsPerSecond: 25, cpuUsPerRequest: 55 }),
          sample('fastapi', 2, { requestsPerSecond: 100, cpuUsPerRequest: 100 }),
          sample('modelserve-uvloop', 2, { requestsPerSecond: 210, cpuUsPerRequest: 57 }),
        ],
      },
      {
        ...ONE,
        samples: [sample('uvicorn', 1, { p50Us: 30 }), sample('modelserve-uvloop', 1, { p50Us: 190 })],
      },
    ]);
    expect(rows.get('req/s, c=32, uvloop, against FastAPI on uvicorn')).toMatchObject({
      min: 2.1,
      max: 2.5,
      verdict: 'pass',
    });
    expect(rows.get('CPU per request, c=32, uvloop')).toMatchObject({ value: 56, verdict: 'pass' });
    expect(rows.get('p50 added at c=1 over the handler on bare uvicorn, uvloop')).toMatchObject({
      value: 160,
      verdict: 'short',
    });
  });

  test('are not measured, rather than reached, where one of the two is missing or failed', () => {
    const rows = rowsOf([
      {
        ...MANY,
        samples: [sample('modelserve-uvloop', 1), { contestant: 'fastapi', round: 1, failed: 'gone' }],
      },
    ]);
    expect(rows.get('req/s, c=32, uvloop, against FastAPI on uvicorn')).toMatchObject({
      value: null,
      verdict: 'not measured',
    });
  });
});
