import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { askPython, heldOut, PROJECT, printSkip, reasonOf, run, shareOf } from './drive.ts';

const folder = await mkdtemp(join(tmpdir(), 'modelserve-digits-'));
const python = join(folder, 'bin/python');
const missing = await makeEnvironment();
if (missing !== null) printSkip('Digits', missing);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** @returns null when the package's environment is there, else why it cannot be made here */
async function makeEnvironment(): Promise<string | null> {
  const own = await run('python3', ['-m', 'venv', folder]);
  const made = own.exitCode === 0 ? own : await run('virtualenv', ['-p', 'python3', folder]);
  if (made.exitCode !== 0) return `no virtual environment: ${reasonOf(made)}`;
  const requirements = join(PROJECT, 'algopkg/Digits/requirements.txt');
  const installed = await run(python, ['-m', 'pip', 'install', '--quiet', '--retries=1', '-r', requirements]);
  return installed.exitCode === 0 ? null : `numpy cannot be installed: ${reasonOf(installed)}`;
}

interface Reading {
  readonly digit: number | readonly number[];
  readonly confidence: number | readonly number[];
}

describe.skipIf(missing !== null)('Digits', () => {
  const target = { python, packageName: 'Digits', backend: 'DigitsBackend', model: 'digits_v1.npz' };

  it('reads at least 95 of 100 held-out images right, one by one or all at once alike', async () => {
    const rows = await heldOut<{ readonly pixels: readonly number[]; readonly digit: number }>('digits');
    const batch = { pixels: rows.map((row) => row.pixels) };
    const [together, ...each] = await askPython<Reading>(target, [batch, ...rows]);
    const digits = each.map((answer) => answer.result.digit);
    expect(shareOf(rows, (row, index) => digits[index] === row.digit)).toBeGreaterThanOrEqual(0.95);
    expect(together?.result.digit).toEqual(digits);
  });

  it('says how sure it is', async () => {
    const [row] = await heldOut<{ readonly pixels: readonly number[] }>('digits');
    const [answer] = await askPython<Reading>(target, [row]);
    expect(answer?.result.confidence).toBeGreaterThan(0.5);
    expect(answer?.result.confidence).toBeLessThanOrEqual(1);
  });

  it.each([
    [{}, /expected \{"pixels": \[64 numbers\]\}/],
    [{ pixels: [1, 2, 3] }, /expected 64 numbers/],
    [{ pixels: [] }, /expected 64 numbers/],
    [{ pixels: Array(64).fill(17) }, /from 0 to 16/],
    [{ pixels: Array(64).fill('ink') }, /could not convert/],
  ])('answers status 0 for %j', async (parameters, info) => {
    const [answer] = await askPython<Reading>(target, [parameters]);
    expect(answer?.status).toBe(0);
    expect(answer?.info).toMatch(info);
  });
});
