import { execFileSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { interpreters } from './interpreters.ts';
import { mainPath } from './replica.ts';

const script = fileURLToPath(new URL('./fixtures/golden.py', import.meta.url));
const golden = fileURLToPath(new URL('../../channel/golden', import.meta.url));

it.each(interpreters)(
  'CPython $version reads and writes the golden frames, however they are cut',
  ({ path }) => {
    const seed = Math.floor(Math.random() * 1e9);
    const arguments_ = ['-I', script, dirname(mainPath), golden, String(seed)];
    const files = Number(execFileSync(path, arguments_, { encoding: 'utf8' }));
    expect(files, `golden files read in ${golden}`).toBeGreaterThan(15);
  },
);
