import { describe, expect, it } from 'vitest';
import { type Finding, linesOf, placeFinding, quoted } from '../../src/config/finding.ts';

const TEXT = '[algopkg.Echo]\r\n  gpu_cost = much  \r\nroute =\r\n   \r\nno key here\r\n';

function placed(over: Partial<Finding>): readonly [text: string, column: number | null, end: number | null] {
  const finding = {
    ...{ file: 'conf.ini', line: 2, section: 'algopkg.Echo', key: 'gpu_cost' },
    ...{ expected: 'a number', found: '"much"', hint: '' },
    ...over,
  };
  const { column, endColumn } = placeFinding(finding, 'mistake', linesOf(TEXT));
  const line = TEXT.split('\r\n')[(finding.line ?? 0) - 1] ?? '';
  return [line.slice((column ?? 1) - 1, (endColumn ?? 1) - 1), column, endColumn];
}

describe('where in its line a finding is', () => {
  it.each<[string, Partial<Finding>, ReturnType<typeof placed>]>([
    ['the value, where it is quoted', {}, ['much', 14, 18]],
    ['the key, where something else was found', { found: 'nothing' }, ['gpu_cost', 3, 11]],
    ['a place behind the sign, where the value is empty', { line: 3, key: 'route', found: '""' }, ['', 8, 9]],
    ['the whole line, where no key is named', { line: 1, key: null }, ['[algopkg.Echo]', 1, 15]],
    ['the whole line, where there is no sign', { line: 5, found: '"no key here"' }, ['no key here', 1, 12]],
    ['nowhere, where the file as a whole is meant', { line: null }, ['', null, null]],
    ['nowhere, where the line is not in the text', { line: 99 }, ['', null, null]],
  ])('is %s', (_, over, expected) => {
    expect(placed(over)).toEqual(expected);
  });

  it('comes with what is wrong in one line, without its place', () => {
    const finding = { file: 'f', line: 2, section: null, key: 'k', expected: 'a', found: 'b', hint: 'do c' };
    expect(placeFinding(finding, 'warning', linesOf(TEXT))).toMatchObject({
      severity: 'warning',
      message: 'expected a, found b; do c',
    });
  });
});

it('quotes what was found so that it stays on its line, and in its direction', () => {
  expect(quoted('a\n\u202eb\u2066c')).toBe('"a\ufffd\ufffdb\ufffdc"');
});
