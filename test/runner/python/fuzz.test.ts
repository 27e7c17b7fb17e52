import { execFile } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { FUZZ_SEED, FUZZED_FRAMES } from '../../channel/fuzz.ts';
import { python } from './interpreters.ts';
import { mainPath } from './replica.ts';

const script = fileURLToPath(new URL('./fixtures/fuzz.py', import.meta.url));

it.skipIf(python === null)(
  `the Python decoder takes ${FUZZED_FRAMES} frames, whole, cut and damaged, as the format says`,
  async () => {
    process.stdout.write(`fuzzing frames in Python: MODELSERVE_FUZZ_SEED=${FUZZ_SEED}\n`);
    const words = ['-I', script, dirname(mainPath), String(FUZZ_SEED), String(FUZZED_FRAMES)];
    const { stdout } = await promisify(execFile)(python?.path ?? '', words);
    const seen = JSON.parse(stdout) as { read: number; errors: number };
    expect(seen.read).toBeGreaterThan(FUZZED_FRAMES / 2);
    expect(seen.errors).toBeGreaterThan(100);
  },
  600_000,
);
