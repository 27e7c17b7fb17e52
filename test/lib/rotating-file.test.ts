import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { RotatingFile, rotate } from '../../src/lib/rotating-file.ts';
import { tempDir } from '../support/temp-dir.ts';

const RULES = { maxBytes: 10, files: 3 };

/** Each write looks at the file: no second has to pass. */
function eager(path: string): RotatingFile {
  let nowMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => {
    nowMs += 2_000;
    return nowMs;
  });
  return new RotatingFile(path, RULES);
}

describe('a rotating file', () => {
  it('begins anew when it is full, and keeps so many older ones', () => {
    const folder = tempDir();
    const path = join(folder, 'a.log');
    const file = eager(path);
    for (let line = 1; line <= 8; line += 1) file.write(`line ${line}\n`);
    const textOf = (name: string): string => readFileSync(join(folder, name), 'utf8');
    expect(readdirSync(folder).sort()).toEqual(['a.log', 'a.log.1', 'a.log.2']);
    expect(textOf('a.log')).toBe('line 7\nline 8\n');
    expect(textOf('a.log.1')).toBe('line 5\nline 6\n');
    expect(textOf('a.log.2')).toBe('line 3\nline 4\n');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('may be written by several: who did not rename it goes on in the new one', () => {
    const path = join(tempDir(), 'a.log');
    const [one, other] = [eager(path), eager(path)];
    one.write('0123456789\n');
    other.write('other\n'); // finds it full
    one.write('one\n');
    expect(readFileSync(path, 'utf8')).toBe('other\none\n');
  });

  it('loses lines, and nothing else, where its folder is gone', () => {
    const folder = join(tempDir(), 'logs');
    const file = eager(join(folder, 'a.log'));
    rmSync(folder, { recursive: true });
    file.write('here again\n');
    expect(readFileSync(join(folder, 'a.log'), 'utf8')).toBe('here again\n');
  });

  it('is left alone while there is room', () => {
    const path = join(tempDir(), 'a.log');
    new RotatingFile(path).write('x');
    expect(rotate(path, statSync(path).ino, RULES)).toBe(false);
    expect(rotate(path, statSync(path).ino, { maxBytes: 1, files: 1 })).toBe(true);
    expect(rotate(path, 0, RULES)).toBe(true);
  });
});
