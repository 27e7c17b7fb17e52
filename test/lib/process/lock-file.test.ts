import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../../src/lib/hash.ts';
import { spawnDetached } from '../../../src/lib/process/detached.ts';
import { findByArgument } from '../../../src/lib/process/find-by-argument.ts';
import { lockFile } from '../../../src/lib/process/lock-file.ts';
import { killSession } from '../../../src/lib/process/signals.ts';
import { watchExit } from '../../../src/lib/process/watch-exit.ts';

const DEAD = JSON.stringify({ pid: process.pid, startTicks: 1 });

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lock-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('one holder at a time, in turn', async () => {
  const path = join(folder, 'deep', 'lock');
  let inside = 0;
  let most = 0;
  const turn = async (): Promise<void> => {
    const release = await lockFile(path, { timeoutMs: 10_000 });
    inside += 1;
    most = Math.max(most, inside);
    await Promise.resolve();
    inside -= 1;
    await release();
  };
  await Promise.all(Array.from({ length: 8 }, turn));
  expect(most).toBe(1);
});

test('says who holds it when the wait is over', async () => {
  const path = join(folder, 'lock');
  const release = await lockFile(path, { timeoutMs: 0 });
  await expect(lockFile(path, { timeoutMs: 0 })).rejects.toThrow(`held by process ${process.pid}`);
  await release();
  await release();
  await (await lockFile(path, { timeoutMs: 0 }))();
});

test.each([
  ['a dead process', DEAD],
  ['nobody that can be read', 'garbage'],
])('takes the lock of %s, with several after it at once', async (_who, content) => {
  for (let round = 0; round < 60; round += 1) {
    const path = join(folder, `lock${round}`);
    await writeFile(path, content);
    const claim = `${path}.${sha256(content).slice(0, 12)}`;
    if (round % 3 === 0) await writeFile(claim, DEAD); // of one that died while it took the lock
    const results = await Promise.allSettled(
      Array.from({ length: 12 }, async (_, index) => {
        for (let turns = index * round; turns > 0; turns -= 1) await Promise.resolve();
        return lockFile(path, { timeoutMs: 0 });
      }),
    );
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ pid: process.pid });
    expect((await readdir(folder)).filter((name) => name.startsWith(`lock${round}.`))).toEqual([]);
  }
});

test('a waiter can be called off', async () => {
  const path = join(folder, 'lock');
  await lockFile(path, { timeoutMs: 0 });
  const abort = new AbortController();
  const waiting = lockFile(path, {
    timeoutMs: 60_000,
    signal: abort.signal,
    onWait: () => abort.abort(),
  });
  await expect(waiting).rejects.toThrow(/abort/i);
});

test('a process is found by an argument, and its end is noticed though it is watched as a stranger', async () => {
  const argument = join(folder, 'unique');
  const started = await spawnDetached({
    command: process.execPath,
    args: ['-e', 'setInterval(() => {}, 1000)', argument],
    cwd: folder,
    env: {},
    logFile: join(folder, 'log'),
  });
  expect(findByArgument(argument)).toEqual(started.identity);
  const watch = watchExit(started.identity, 20);
  await killSession(started.identity.pid);
  await watch.exited;
  expect(findByArgument(argument)).toBeNull();
  expect(findByArgument(join(folder, 'other'))).toBeNull();
});
