import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hostCapacity } from '../../src/agent/capacity.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 ** 2;

test.each([
  ['no limits', { 'a/b/cpu.max': 'max 100000\n', 'a/b/memory.max': 'max\n' }, null, null],
  ['its own limits', { 'a/b/cpu.max': '50000 100000\n', 'a/b/memory.max': `${64 * MIB}\n` }, 500, 64 * MIB],
  [
    'a limit of the group around it',
    { 'a/cpu.max': '25000 100000', 'a/b/cpu.max': '50000 100000' },
    250,
    null,
  ],
  ['a limit of the root of a container', { 'cpu.max': '10000 100000' }, 100, null],
  ['nonsense', { 'a/b/cpu.max': 'what', 'a/b/memory.max': '' }, null, null],
])('a control group with %s', (_what, files, cpuMilli, memoryBytes) => {
  const folder = tempDir();
  mkdirSync(join(folder, 'mount/a/b'), { recursive: true });
  writeFileSync(join(folder, 'cgroup'), '1:name=systemd:/x\n0::/a/b\n');
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'mount', name), text);
  const host = { membership: join(folder, 'cgroup'), mount: join(folder, 'mount') };
  expect(hostCapacity(null, host)).toEqual({
    cpuMilli: cpuMilli ?? availableParallelism() * 1000,
    memoryBytes: memoryBytes ?? totalmem(),
  });
  expect(hostCapacity(1.5, host).cpuMilli).toBe(1500);
});
