import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { lookForSoftware, SoftwareWatch } from '../../../src/agent/environments/node-software.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';
import { here } from './python-package.ts';

function programs(folder: string, ...names: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  for (const name of names) symlinkSync(here.path, join(folder, name));
  return folder;
}

test('a node tells what is there of Pythons, conda environments and tools', () => {
  const home = tempDir();
  const bin = programs(join(home, 'bin'), 'python3.10', 'python3.8', 'uv');
  const shims = programs(join(home, '.pyenv', 'shims'), 'python3.7');
  programs(join(home, '.pyenv', 'versions', '3.9.18', 'bin'), 'python');
  programs(join(home, '.local', 'share', 'uv', 'python', 'cpython-3.13.1-linux-x86_64-gnu', 'bin'), 'python');
  mkdirSync(join(home, 'miniconda3', 'envs', 'algo', 'conda-meta'), { recursive: true });
  programs(join(home, 'miniconda3', 'envs', 'algo', 'bin'), 'python');
  programs(join(home, 'miniconda3', 'bin'), 'conda');
  const software = lookForSoftware({ HOME: home, PATH: `${bin}:${shims}` }, '3.11.7');
  expect(software).toMatchObject({
    python: '3.11.7',
    condaEnvironments: ['algo'],
    tools: ['uv', 'conda'],
  });
  expect(software.pythons).toEqual(expect.arrayContaining(['3.8', '3.9', '3.10', '3.13']));
  expect(software.pythons).not.toContain('3.7');
});

test('the version of python3 is known once the watch has started', async () => {
  let changes = 0;
  const watch = new SoftwareWatch(baseEnv(), () => {
    changes += 1;
  });
  expect(watch.software).toBeNull();
  await watch.start();
  watch.stop();
  expect(watch.software?.python).toBe(here.version);
  expect(changes).toBe(1);
});
