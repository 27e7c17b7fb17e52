import { expect, test } from 'vitest';
import { CONTESTANTS } from '../../bench/contestants/all.mjs';
import { readOptions } from '../../bench/options.mjs';

test('everything takes part by default', () => {
  expect(readOptions([])).toMatchObject({ mode: 'run', plan: { size: 'default' }, contestants: CONTESTANTS });
});

test('what is named takes part, in the order of the tables', () => {
  const options = readOptions(['--quick', '--only', 'mosec,fastify', '--figures', 'none', '--rounds', '2']);
  expect(options).toMatchObject({ plan: { size: 'quick', rounds: 2 }, figures: [] });
  expect('contestants' in options ? options.contestants.map(({ name }) => name) : []).toEqual([
    'fastify',
    'mosec',
  ]);
});

test.each([
  [['--only', 'nobody'], /no nobody; there are node-http, /],
  [['--figures', 'nothing'], /no nothing; there are /],
  [['--rounds', '0'], /--rounds: expected a whole number from 1 to 100, found 0/],
  [['--quick', '--full'], /one of them/],
  [['--fast'], /--fast/],
])('%j is refused', (args, message) => {
  expect(() => readOptions(args)).toThrow(message);
});
