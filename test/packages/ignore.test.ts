import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../../src/lib/process/command.ts';
import { compileIgnore } from '../../src/packages/ignore.ts';

/** pattern lines, path, whether it is ignored */
const CASES: readonly (readonly [string, string, boolean])[] = [
  ['*.log', 'a.log', true],
  ['*.log', 'deep/er/a.log', true],
  ['*.log', 'a.log.txt', false],
  ['/*.log', 'a.log', true],
  ['/*.log', 'deep/a.log', false],
  ['notes', 'notes', true],
  ['notes', 'deep/notes', true],
  ['notes/', 'notes', false],
  ['a/b', 'a/b', true],
  ['a/b', 'x/a/b', false],
  ['a/*/c', 'a/b/c', true],
  ['a/*/c', 'a/b/b/c', false],
  ['a/**/c', 'a/c', true],
  ['a/**/c', 'a/b/b/c', true],
  ['**/c', 'c', true],
  ['**/c', 'a/b/c', true],
  ['a/**', 'a/b/c', true],
  ['a**c', 'abbc', true],
  ['a**c', 'a/c', false],
  ['?.txt', 'a.txt', true],
  ['?.txt', 'ab.txt', false],
  ['[ab].txt', 'b.txt', true],
  ['[!ab].txt', 'b.txt', false],
  ['[^ab].txt', 'c.txt', true],
  ['[a-c]x', 'bx', true],
  ['[a\\-c]x', 'bx', false],
  ['[]x]y', ']y', true],
  ['\\#x', '#x', true],
  ['# x', '# x', false],
  ['\\!x', '!x', true],
  ['a.b', 'axb', false],
  ['a+(b)', 'a+(b)', true],
  ['x  ', 'x', true],
  ['x\\ ', 'x ', true],
  ['*.bin\n!keep.bin', 'keep.bin', false],
  ['*.bin\n!keep.bin', 'other.bin', true],
  ['!keep.bin\n*.bin', 'keep.bin', true],
];

describe('compileIgnore', () => {
  it.each(CASES)('%j on %s: %s', (patterns, path, ignored) => {
    expect(compileIgnore(patterns)(path, false)).toBe(ignored);
  });

  it('counts characters, where git counts bytes', () => {
    expect(compileIgnore('ü?')('ü😀', false)).toBe(true);
  });

  it('applies patterns that end in a slash to folders only', () => {
    expect(compileIgnore('build/')('build', true)).toBe(true);
    expect(compileIgnore('build/')('build', false)).toBe(false);
  });

  it.each(['__pycache__', 'deep/__pycache__', '.git', 'node_modules', '.venv', '.modelserve'])(
    'leaves %s out by itself, unless it is asked for',
    (folder) => {
      const name = folder.split('/').at(-1);
      expect(compileIgnore('')(folder, true)).toBe(true);
      expect(compileIgnore(`!${name}`)(folder, true)).toBe(false);
    },
  );

  it.each(['ok\n[a-', 'ok\n[z-a]', 'ok\n[[:digit:]]', 'ok\nend\\', 'ok\na[/]b'])(
    'names the line of %j',
    (text) => {
      expect(() => compileIgnore(text)).toThrow(/^line 2: /);
    },
  );
});

const gitVersion = await runCommand('git', ['--version'], {
  timeoutMs: 10_000,
  env: { PATH: String(process.env['PATH']) },
});
if (gitVersion.exitCode !== 0) process.stderr.write('skipped: agreement with git (no git on PATH)\n');

describe.skipIf(gitVersion.exitCode !== 0)('agreement with git', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'modelserve-ignore-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('decides each case as git does', async () => {
    const options = { timeoutMs: 60_000, env: { PATH: String(process.env['PATH']), HOME: folder } };
    for (const [index, [patterns, path, ignored]] of CASES.entries()) {
      const repository = join(folder, String(index));
      mkdirSync(dirname(join(repository, path)), { recursive: true });
      writeFileSync(join(repository, '.gitignore'), `${patterns}\n`);
      writeFileSync(join(repository, path), '');
      await runCommand('git', ['init', '-q', repository], options);
      const { exitCode } = await runCommand(
        'git',
        ['-C', repository, 'check-ignore', '-q', '--', path],
        options,
      );
      expect({ patterns, path, ignored: exitCode === 0 }).toEqual({ patterns, path, ignored });
    }
  });
});
