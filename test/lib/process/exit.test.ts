import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { describeExit, type Exit, fileSizeBytes, lastOutput } from '../../../src/lib/process/exit.ts';

test.each<[Exit, string]>([
  [{ code: 3, signal: null }, 'the process ended with code 3'],
  [{ code: null, signal: 'SIGSEGV' }, 'the process was ended by SIGSEGV'],
  [{ code: null, signal: 'SIGKILL' }, 'memory ran out'],
  [null, 'it was adopted'],
])('%j is told as "%s"', (exit, text) => {
  expect(describeExit(exit)).toContain(text);
});

test('the last output is of this life only, and bounded', () => {
  const folder = mkdtempSync(join(tmpdir(), 'exit-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const log = join(folder, 'log');
  expect([fileSizeBytes(log), lastOutput(log, 0)]).toEqual([0, '']);
  writeFileSync(log, 'another life\n');
  const from = fileSizeBytes(log);
  expect(lastOutput(log, from)).toBe('');
  writeFileSync(log, 'another life\nfirst\nlast\n');
  expect(lastOutput(log, from)).toBe('first\nlast');
  writeFileSync(log, 'rotated\n');
  expect(lastOutput(log, from)).toBe('rotated');
  writeFileSync(log, 'x\n'.repeat(100_000));
  expect(lastOutput(log, 0).split('\n')).toHaveLength(60);
});
