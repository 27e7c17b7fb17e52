import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FileFronts, type Front } from '../../../src/models/arrival/file-fronts.ts';

const PART_BYTES = 8;

function partsOf(counts: readonly number[]) {
  const parts = counts.flatMap((count, file) =>
    Array.from({ length: count }, (_, nth) => ({
      path: `file-${file}`,
      range: { offset: nth * PART_BYTES, length: PART_BYTES },
    })),
  );
  return parts.map((part, index) => ({ ...part, index }));
}

it('reaches exactly as far as there is no gap, in whatever order the parts come', () => {
  const parts = partsOf([7, 1, 5]);
  const orders = fc.shuffledSubarray([...parts.keys()], { minLength: parts.length });
  fc.assert(
    fc.property(orders, fc.integer({ min: 0, max: parts.length }), (order, comeCount) => {
      const fronts = new FileFronts(parts);
      const latest = new Map<string, Front>();
      for (const index of order.slice(0, comeCount)) {
        const part = parts[index] as (typeof parts)[number];
        const front = fronts.add(part, part.range.offset + part.range.length);
        if (front === null) continue;
        expect(front.toBytes).toBeGreaterThan(latest.get(front.path)?.toBytes ?? 0);
        latest.set(front.path, front);
      }
      const come = new Set(order.slice(0, comeCount));
      for (const path of ['file-0', 'file-1', 'file-2']) {
        const own = parts.filter((part) => part.path === path);
        const gap = own.findIndex((part) => !come.has(part.index));
        const reached = (gap === -1 ? own.length : gap) * PART_BYTES;
        expect(latest.get(path)?.toBytes ?? 0).toBe(reached);
        expect(latest.get(path)?.isWhole ?? false).toBe(gap === -1);
      }
    }),
  );
});

it('takes the end of a file without parts as it is told', () => {
  const fronts = new FileFronts([{ index: 0, path: 'm', range: null }]);
  expect(fronts.add({ index: 0, path: 'm', range: null }, 17)).toEqual({
    ...{ path: 'm', toBytes: 17, isWhole: true },
  });
});
