import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { tailLog } from '../../src/lib/log-tail.ts';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-tail-'));
  path = join(folder, 'a.log');
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

async function tail(lines: number): Promise<string> {
  const parts: Buffer[] = [];
  const signal = new AbortController().signal;
  for await (const part of tailLog(path, { lines, follow: false, signal })) parts.push(part);
  return Buffer.concat(parts).toString();
}

describe('the tail of a log', () => {
  it.each([
    [0, ''],
    [1, 'f\n'],
    [2, 'e\nf\n'],
    [3, 'd\ne\nf\n'],
    [5, 'b\nc\nd\ne\nf\n'],
    [6, 'a\nb\nc\nd\ne\nf\n'],
    [99, 'a\nb\nc\nd\ne\nf\n'],
  ])('of %i lines reaches into older files as far as needed', async (lines, wanted) => {
    writeFileSync(`${path}.2`, 'a\nb\n');
    writeFileSync(`${path}.1`, 'c\nd\n');
    writeFileSync(path, 'e\nf\n');
    expect(await tail(lines)).toBe(wanted);
  });

  it('counts a last line that is not ended yet', async () => {
    writeFileSync(path, 'a\nb\nc');
    expect(await tail(2)).toBe('b\nc');
  });

  it('finds lines that are longer than what is read at once', async () => {
    const long = 'x'.repeat(200_000);
    writeFileSync(path, `first\n${long}\nlast\n`);
    expect(await tail(2)).toBe(`${long}\nlast\n`);
  });

  it('of a file that is not there is empty', async () => {
    expect(await tail(10)).toBe('');
  });

  it('follows what is appended, through a rotation, until it is told to stop', async () => {
    writeFileSync(path, 'one\n');
    const stop = new AbortController();
    const seen: string[] = [];
    const steps = [
      () => appendFileSync(path, 'two\n'),
      () => {
        appendFileSync(path, 'three\n');
        renameSync(path, `${path}.1`);
        writeFileSync(path, 'four\n');
      },
      () => appendFileSync(path, 'five\n'),
      () => stop.abort(),
    ];
    const wanted = ['one\n', 'one\ntwo\n', 'one\ntwo\nthree\nfour\n', 'one\ntwo\nthree\nfour\nfive\n'];
    for await (const part of tailLog(path, { lines: 5, follow: true, signal: stop.signal })) {
      seen.push(part.toString());
      const at = wanted.indexOf(seen.join(''));
      if (at >= 0) steps[at]?.();
    }
    expect(seen.join('')).toBe(wanted.at(-1));
  });

  it('follows a file that does not exist yet', async () => {
    const stop = new AbortController();
    const lines = tailLog(path, { lines: 5, follow: true, signal: stop.signal });
    const first = lines.next();
    writeFileSync(path, 'born\n');
    expect(String((await first).value)).toBe('born\n');
    stop.abort();
    await lines.return(undefined);
  });
});
