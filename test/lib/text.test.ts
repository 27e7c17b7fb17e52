import { execFileSync } from 'node:child_process';
import { expect, it, test } from 'vitest';
import { clipped, shellWord, withDetails } from '../../src/lib/text.ts';

it('is cut at a hundred characters', () => {
  expect(clipped('a'.repeat(100))).toBe('a'.repeat(100));
  expect(clipped('a'.repeat(101))).toBe(`${'a'.repeat(99)}…`);
});

it('is not said twice', () => {
  expect(withDetails('Echo: ValueError: no', 'ValueError: no\n')).toBe('Echo: ValueError: no');
  expect(withDetails('Echo: ValueError: no', 'Traceback\nValueError: no\n')).toBe(
    'Echo: ValueError: no\nTraceback\nValueError: no',
  );
  expect(withDetails('Echo', '')).toBe('Echo');
});

test.each(['plain/path-1.2', 'two words', `it's`, '{"a": "$HOME `x` \\\\"}', 'prøj', ''])(
  'a shell reads %j as it is',
  (text) => {
    expect(execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' })).toBe(text);
  },
);
