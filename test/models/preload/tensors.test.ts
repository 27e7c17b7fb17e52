import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { tempDir } from '../../support/temp-dir.ts';
import { LIBRARY, openBarrierWorld } from './barrier-world.ts';

// Libraries that read weights in ways of their own (Rust, libstdc++, mmap). The small ones are installed where there is an
// index; torch is large: MODELSERVE_TENSOR_PYTHON may name an interpreter that has it.
const PYTHON = process.env['MODELSERVE_TENSOR_PYTHON'] ?? 'python3';
const SHAPE = '300, 700';

interface Reading {
  readonly what: string;
  readonly modules: readonly string[];
  /** writes an array `a` to the file `path` */
  readonly write: string;
  /** reads the file `path` into an array `b` */
  readonly read: string;
}

const READINGS: readonly Reading[] = [
  {
    what: 'np.load',
    modules: ['numpy'],
    write: 'with open(path, "wb") as f: np.save(f, a)',
    read: 'b = np.load(path)',
  },
  {
    what: 'np.load with mmap_mode',
    modules: ['numpy'],
    write: 'with open(path, "wb") as f: np.save(f, a)',
    read: 'b = np.load(path, mmap_mode="r")',
  },
  {
    what: 'safe_open',
    modules: ['numpy', 'safetensors'],
    write: 'from safetensors.numpy import save_file; save_file({"a": a}, path)',
    read: 'from safetensors import safe_open\nwith safe_open(path, "np") as f: b = f.get_tensor("a")',
  },
  {
    what: 'torch.load',
    modules: ['numpy', 'torch'],
    write: 'import torch; torch.save(torch.from_numpy(a), path)',
    read: 'import torch; b = torch.load(path).numpy()',
  },
  {
    what: 'torch.load with mmap',
    modules: ['numpy', 'torch'],
    write: 'import torch; torch.save(torch.from_numpy(a), path)',
    read: 'import torch; b = torch.load(path, mmap=True).numpy()',
  },
  {
    what: 'torch.UntypedStorage.from_file',
    modules: ['numpy', 'torch'],
    write: 'a.tofile(path)',
    read: `import os, torch
s = torch.UntypedStorage.from_file(path, False, os.path.getsize(path))
b = torch.empty(0, dtype=torch.float64).set_(s, 0, (${SHAPE})).numpy()`,
  },
];

const PREAMBLE = `import sys, hashlib, numpy as np
path = sys.argv[1]
def show(x): print(hashlib.sha256(np.ascontiguousarray(x).tobytes()).hexdigest())`;

const packages = mkdtempSync(join(tmpdir(), 'modelserve-tensors-'));
const env = { ...process.env, PYTHONPATH: packages };
afterAll(() => rmSync(packages, { recursive: true, force: true }));
const has = (name: string): boolean => spawnSync(PYTHON, ['-c', `import ${name}`], { env }).status === 0;
const small = ['numpy', 'safetensors'].filter((name) => !has(name));
if (LIBRARY !== null && small.length > 0) {
  const install = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', packages, ...small];
  spawnSync(PYTHON, install, { stdio: 'ignore', timeout: 120_000 }); // what is missing then is said below
}

const there = READINGS.filter(({ what, modules }) => {
  const module = modules.find((name) => !has(name));
  if (module !== undefined) process.stderr.write(`skipped: ${what}: ${PYTHON} has no module ${module}\n`);
  return module === undefined;
});

describe.skipIf(LIBRARY === null || there.length === 0)(
  'weights that are not there yet',
  { timeout: 120_000 },
  () => {
    it.each(there)('are read by $what', async ({ write, read }) => {
      const made = join(tempDir(), 'made');
      const make = `${PREAMBLE}\na = np.random.rand(${SHAPE}); show(a)\n${write}`;
      const expected = execFileSync(PYTHON, ['-c', make, made], { encoding: 'utf8', env });
      const world = await openBarrierWorld({ weights: readFileSync(made) });
      const script = `${PREAMBLE}\n${read}\nshow(b)`;
      const program = world.run(PYTHON, ['-c', script, world.path('weights')], {
        env: { PYTHONPATH: packages },
      });
      await expect.poll(() => world.wanted, { timeout: 60_000 }).toContain('weights');
      expect(program.output().length).toBe(0);
      await world.complete('weights');
      const { code, stdout, stderr } = await program.ended;
      expect([code, stdout.toString()], stderr).toEqual([0, expected]);
      const control = world.run(PYTHON, ['-c', script, world.path('weights')], {
        withoutLibrary: true,
        env: { PYTHONPATH: packages },
      });
      expect((await control.ended).stdout.toString()).toBe(expected); // what was completed is an ordinary file
    });
  },
);
