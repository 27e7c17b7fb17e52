import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildOnce } from '../../../src/agent/environments/build-once.ts';
import { listBuilt, removeBuilt } from '../../../src/agent/environments/built-folders.ts';
import { EnvironmentKeeper, UNUSED_MS } from '../../../src/agent/environments/environment-keeper.ts';
import { noteUse } from '../../../src/agent/environments/uses.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { lockFile } from '../../../src/lib/process/lock-file.ts';
import { tempDir } from '../../support/temp-dir.ts';

const KEYS = ['a', 'b', 'c'].map((letter) => `venv-${letter.repeat(32)}`);
const MONTH_AGO = new Date(Date.now() - UNUSED_MS - 1000);

async function build(parent: string, key: string, packageName: string): Promise<string> {
  const folder = join(parent, key);
  await buildOnce({
    folder,
    description: `environment of ${packageName}`,
    build: async (dir) => await writeFile(join(dir, 'built'), 'x'),
    onProgress: () => undefined,
    signal: new AbortController().signal,
  });
  await noteUse(folder, packageName, `hash-of-${packageName}`);
  return folder;
}

function makeOld(folder: string): void {
  for (const name of readdirSync(join(folder, 'uses')))
    utimesSync(join(folder, 'uses', name), MONTH_AGO, MONTH_AGO);
}

test('what was built is listed with who used it, and what it is', async () => {
  const parent = tempDir();
  const [first = '', second = '', third = ''] = KEYS;
  const folder = await build(parent, first, 'Echo');
  await noteUse(folder, 'Digits', 'hash-of-Digits');
  mkdirSync(join(parent, second, 'build-1-1-dead'), { recursive: true });
  const release = await lockFile(join(parent, third, 'lock'), { timeoutMs: 0 });
  mkdirSync(join(parent, 'something else'));
  const built = await listBuilt(parent);
  expect(built.map(({ key, state, description }) => ({ key, state, description }))).toEqual([
    { key: first, state: 'ready', description: 'environment of Echo' },
    { key: second, state: 'unfinished', description: '' },
    { key: third, state: 'building', description: '' },
  ]);
  expect(built[0]?.uses.map(({ packageName }) => packageName).sort()).toEqual(['Digits', 'Echo']);
  expect(await removeBuilt(join(parent, third))).toBe(false);
  await release();
  expect(await removeBuilt(folder)).toBe(true);
  expect(existsSync(folder)).toBe(false);
});

test('what nothing has used for a month goes by itself; what runs here stays, and counts as used', async () => {
  const [environmentsDir, stageDir] = [tempDir(), tempDir()];
  const [unused = '', running = '', recent = ''] = KEYS;
  for (const key of [unused, running]) makeOld(await build(environmentsDir, key, key));
  await build(environmentsDir, recent, 'recent');
  const code = `${'0'.repeat(64)}-plain`;
  makeOld(await build(stageDir, code, 'code'));
  makeOld(await build(stageDir, `${code}-u65534`, 'code of another user'));
  mkdirSync(join(stageDir, 'pycache', 'deep'), { recursive: true });
  const compiled = join(stageDir, 'pycache', 'deep', 'x.pyc');
  writeFileSync(compiled, '');
  utimesSync(compiled, MONTH_AGO, MONTH_AGO);
  writeFileSync(join(stageDir, 'launch-1.json'), '{}');
  const keeper = new EnvironmentKeeper(
    { environmentsDir, stageDir },
    { inUse: () => [`hash-of-${running}`], log: silentLog },
  );
  await keeper.tidy();
  expect(readdirSync(environmentsDir).sort()).toEqual([running, recent].sort());
  expect(readdirSync(stageDir).sort()).toEqual(['launch-1.json', 'pycache']);
  expect(readdirSync(join(stageDir, 'pycache'))).toEqual([]);
  const used = (await listBuilt(environmentsDir)).find(({ key }) => key === running);
  expect(used?.lastUsedMs).toBeGreaterThan(MONTH_AGO.getTime() + 1000);
});
