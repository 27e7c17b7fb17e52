import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { type BuildRequest, buildOnce } from '../../../src/agent/environments/build-once.ts';
import { identityOf } from '../../../src/lib/process/identity.ts';
import { tempDir } from '../../support/temp-dir.ts';

function request(over: Partial<BuildRequest> & Pick<BuildRequest, 'folder'>): BuildRequest {
  return {
    build: async (dir) => await writeFile(join(dir, 'built'), ''),
    description: 'a test',
    onProgress: () => undefined,
    signal: new AbortController().signal,
    ...over,
  };
}

test('several that want the same build it once, and wait for each other', async () => {
  const folder = join(tempDir(), 'env');
  let builds = 0;
  let both: () => void = () => undefined;
  const waiting = new Promise<void>((resolve) => {
    both = resolve;
  });
  const said: string[] = [];
  const wanted = request({
    folder,
    build: async (dir, say) => {
      builds += 1;
      say('building');
      await waiting; // until the other one waits for the lock
      await writeFile(join(dir, 'built'), '');
    },
    onProgress: (line) => {
      said.push(line);
      if (line.startsWith('waiting for the same build')) both();
    },
  });
  const [first, second] = await Promise.all([buildOnce(wanted), buildOnce(wanted)]);
  expect(first).toBe(second);
  expect(builds).toBe(1);
  expect(existsSync(join(first, 'built'))).toBe(true);
  expect(said.sort()).toEqual(['building', `waiting for the same build by process ${process.pid}`]); // in either order
  expect(readFileSync(join(folder, 'build.log'), 'utf8')).toBe('building\n');
  expect(await buildOnce(wanted)).toBe(first);
  expect(builds).toBe(1);
});

test('a build that was killed half-way is not taken for finished', async () => {
  const folder = join(tempDir(), 'env');
  const half = join(folder, 'build-1-1-dead');
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, 'built'), 'half');
  writeFileSync(join(folder, 'lock'), JSON.stringify({ pid: process.pid, startTicks: 1 }));
  const dir = await buildOnce(request({ folder }));
  expect(basename(dir)).not.toBe('build-1-1-dead');
  expect(existsSync(half)).toBe(false);
  expect(existsSync(join(folder, 'lock'))).toBe(false);
});

test('what another process still builds is left alone', async () => {
  const folder = join(tempDir(), 'env');
  const other = join(folder, `build-${process.ppid}-${identityOf(process.ppid)?.startTicks}-x`);
  mkdirSync(other, { recursive: true });
  await buildOnce(request({ folder }));
  expect(existsSync(other)).toBe(true);
});

test('a build that fails leaves its log only, and the next one tries again', async () => {
  const folder = join(tempDir(), 'env');
  const failing = request({
    folder,
    build: async (_dir, say) => {
      say('half done');
      throw new Error('no space left');
    },
  });
  await expect(buildOnce(failing)).rejects.toThrow('no space left');
  expect(readdirSync(folder)).toEqual(['build.log']);
  const dir = await buildOnce(request({ folder }));
  rmSync(dir, { recursive: true }); // and one that somebody removed by hand is built again
  expect(await buildOnce(request({ folder }))).not.toBe(dir);
});
