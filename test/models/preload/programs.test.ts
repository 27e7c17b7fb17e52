import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type BarrierWorld, LIBRARY, openBarrierWorld, shaOf } from './barrier-world.ts';

const NAME = 'w.bin';
const SIZE = 8 * 100_000;
const SHOW = 'import hashlib; show = lambda b: print(hashlib.sha256(b).hexdigest())';

/** Why a Python module cannot be had, or null. */
function missing(module: string): string | null {
  const { status } = spawnSync('python3', ['-c', `import ${module}`]);
  if (status === 0) return null;
  process.stderr.write(`skipped: programs with ${module}: python3 on PATH has no such module\n`);
  return module;
}
const hasNumpy = missing('numpy') === null;

/** Runs a script in the model's folder, whose first open of the file waits. @returns its output */
async function run(world: BarrierWorld, script: string): Promise<string> {
  const program = world.run('python3', ['-c', `${SHOW}\n${script}`], { cwd: world.folder });
  await expect.poll(() => world.wanted, { timeout: 20_000 }).toContain(NAME);
  expect(program.output().toString()).not.toContain(shaOf(world.contents.get(NAME)!));
  await world.complete(NAME);
  const { code, stdout, stderr } = await program.ended;
  expect([code, stderr]).toEqual([0, '']);
  return stdout.toString().trim();
}

const PROGRAMS: readonly (readonly [string, string])[] = [
  ['open', `show(open('w.bin', 'rb').read())`],
  [
    'open without a buffer, by an absolute path',
    `import os; show(open(os.path.abspath('w.bin'), 'rb', 0).read())`,
  ],
  [
    'os.open beside a folder',
    `import os; d = os.open('.', os.O_RDONLY); show(os.read(os.open('w.bin', os.O_RDONLY, dir_fd=d), 10**7))`,
  ],
  ['a path upwards', `show(open('deep/../w.bin', 'rb').read())`],
  [
    'mmap',
    `import mmap; f = open('w.bin', 'rb'); show(mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)[:])`,
  ],
  ['shutil.copyfile', `import shutil; shutil.copyfile('w.bin', '../c'); show(open('../c', 'rb').read())`],
  [
    'pathlib after looking at it',
    `import pathlib, os; p = pathlib.Path('w.bin'); assert p.stat().st_size == ${SIZE} and os.access(p, os.R_OK) and os.listdir('.'); show(p.read_bytes())`,
  ],
  [
    'a fork',
    `import multiprocessing as m\ndef f(): show(open('w.bin', 'rb').read())\np = m.get_context('fork').Process(target=f); p.start(); p.join()`,
  ],
  [
    'a process of a process',
    `import subprocess, sys; subprocess.run([sys.executable, '-c', 'import subprocess; subprocess.run(["sh", "-c", "sha256sum w.bin | cut -c-64"])'])`,
  ],
  [
    'threads',
    `from concurrent.futures import ThreadPoolExecutor as P\nwith P(8) as p: parts = list(p.map(lambda _: open('w.bin', 'rb').read(), range(8)))\nassert len(set(parts)) == 1; show(parts[0])`,
  ],
];

const WITH_NUMPY: readonly (readonly [string, string])[] = [
  ['np.fromfile', `import numpy as np; show(np.fromfile('w.bin', dtype='f8').tobytes())`],
  ['np.memmap', `import numpy as np; show(np.memmap('w.bin', dtype='u1', mode='r').tobytes())`],
];

describe.skipIf(LIBRARY === null)('a Python program opens a file that is not there yet', () => {
  it.each(PROGRAMS)('%s', async (_, script) => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    mkdirSync(world.path('deep'));
    expect(await run(world, script)).toBe(shaOf(world.contents.get(NAME)!));
  });

  it.skipIf(!hasNumpy).each(WITH_NUMPY)('%s', async (_, script) => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    expect(await run(world, script)).toBe(shaOf(world.contents.get(NAME)!));
  });

  it('a spawned process of multiprocessing', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const script = `
import multiprocessing as m
from pathlib import Path
if __name__ == '__main__':
    with m.get_context('spawn').Pool(1) as pool: show(pool.map(Path.read_bytes, [Path('w.bin')])[0])`;
    expect(await run(world, script)).toBe(shaOf(world.contents.get(NAME)!));
  });

  it('gets an OSError when the file cannot be had', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const program = world.run('python3', ['-c', `open('w.bin', 'rb')`], { cwd: world.folder });
    world.fail(NAME, 'the server answers 404');
    const { code, stderr } = await program.ended;
    expect(code).toBe(1);
    expect(stderr).toContain('OSError: [Errno 5] Input/output error');
    expect(stderr).toContain('the server answers 404');
  });
});
