import { execFileSync } from 'node:child_process';
import { expect, it, test } from 'vitest';
import { clipped, shellWord } from '../../src/lib/text.ts';

it('is cut at a hundred characters', () => {
  expect(clipped('a'.repeat(100))).toBe('a'.repeat(100));
  expect(clipped('a'.repeat(101))).toBe(`${'a'.repeat(99)}…`);
});

test.each(['plain/path-1.2', 'two words', `it's`, '{"a": "$HOME `x` \\\\"}', 'prøj', ''])(
  'a shell reads %j as it is',
  (text) => {
    expect(execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' })).toBe(text);
  },
);
