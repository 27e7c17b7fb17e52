import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { BuiltFolder } from '../../../src/agent/environments/built-folders.ts';
import { chooseUnused, keptHashes } from '../../../src/agent/environments/unused.ts';

const NOW = 1_000_000_000;
const HOUR = 3_600_000;

function built(
  key: string,
  ageMs: number,
  hash = 'other',
  state: BuiltFolder['state'] = 'ready',
): BuiltFolder {
  const lastUsedMs = NOW - ageMs;
  return {
    key,
    folder: key,
    state,
    description: '',
    lastUsedMs,
    uses: [{ packageName: 'P', hash, lastUsedMs }],
  };
}

const keep = keptHashes(['kept']);
const keys = (unused: readonly BuiltFolder[]): readonly string[] => unused.map(({ key }) => key);

test('what is old and needed by nothing goes', () => {
  const all = [built('old', 2 * HOUR), built('young', HOUR / 2), built('needed', 9 * HOUR, 'kept')];
  expect(keys(chooseUnused(all, { keep, olderThanMs: HOUR, most: null }, NOW))).toEqual(['old']);
});

test('beyond a number, those used longest ago go', () => {
  const all = [built('a', 3 * HOUR), built('b', HOUR), built('c', 2 * HOUR), built('d', 4 * HOUR, 'kept')];
  expect(keys(chooseUnused(all, { keep, olderThanMs: 99 * HOUR, most: 1 }, NOW))).toEqual(['c', 'a']);
});

test('what nobody finished goes, and what is being built or was just used stays', () => {
  const all = [
    built('left', 2 * HOUR, 'other', 'unfinished'),
    built('now', 2 * HOUR, 'other', 'building'),
    built('just', 1000),
  ];
  expect(keys(chooseUnused(all, { keep, olderThanMs: 0, most: null }, NOW))).toEqual(['left']);
});

test('nothing that is needed ever goes', () => {
  const one = fc.record({
    hash: fc.constantFrom('kept', 'other'),
    state: fc.constantFrom<BuiltFolder['state']>('ready', 'building', 'unfinished'),
    ageMs: fc.integer({ min: 0, max: 99 * HOUR }),
  });
  const rules = fc.record({
    olderThanMs: fc.integer({ min: 0, max: 99 * HOUR }),
    most: fc.option(fc.integer({ min: 0, max: 3 })),
  });
  fc.assert(
    fc.property(fc.array(one), rules, (ones, over) => {
      const all = ones.map(({ hash, state, ageMs }, index) => built(String(index), ageMs, hash, state));
      for (const { uses, state } of chooseUnused(all, { keep, ...over }, NOW)) {
        expect(uses[0]?.hash).not.toBe('kept');
        expect(state).not.toBe('building');
      }
    }),
  );
});
