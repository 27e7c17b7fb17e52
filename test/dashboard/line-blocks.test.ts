import { expect, it } from 'vitest';
import { countOf, endOf, type LineBlock, withLines, withWords } from '../../src/dashboard/app/line-blocks.ts';

const numbered = (from: number, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `line ${from + index}`);

function filled(steps: readonly number[], most = 2_000): readonly LineBlock[] {
  let blocks: readonly LineBlock[] = [];
  for (const count of steps) blocks = withLines(blocks, numbered(endOf(blocks), count), most);
  return blocks;
}

it.each([[[0]], [[1]], [[99, 1, 1]], [[250, 0, 50]], [[7, 180, 900]]])(
  'keeps all lines in their order: %j',
  (steps) => {
    const blocks = filled(steps);
    const count = steps.reduce((sum, one) => sum + one, 0);
    expect(blocks.flatMap(({ lines }) => lines)).toEqual(numbered(0, count));
    expect([endOf(blocks), countOf(blocks)]).toEqual([count, count]);
  },
);

it('leaves full blocks the very same objects, so that what is marked in them stays', () => {
  const before = filled([250]);
  const after = withLines(before, ['more'], 2_000);
  expect(after[0]).toBe(before[0]);
  expect(after[1]).toBe(before[1]);
  expect(after[2]?.lines).toHaveLength(51);
});

it('forgets whole blocks at the beginning, and keeps at least as many lines as it shall', () => {
  const blocks = filled([1_000, 1_000, 1_000, 30], 2_000);
  expect(endOf(blocks)).toBe(3_030);
  expect(countOf(blocks)).toBe(2_030);
  expect(blocks[0]?.first).toBe(1_000);
});

it('finds words in upper and lower case, in every block', () => {
  const blocks = withLines(filled([150]), ['An Error', 'fine'], 2_000);
  expect(withWords(blocks, 'eRROR').flatMap(({ lines }) => lines)).toEqual(['An Error']);
  expect(countOf(withWords(blocks, 'line 14'))).toBe(11);
  expect(withWords(blocks, '')).toBe(blocks);
  expect(withWords(blocks, 'nothing like it')).toEqual([]);
});
