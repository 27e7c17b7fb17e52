import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { expect, it, onTestFinished, vi } from 'vitest';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { identityOf } from '../../src/lib/process/identity.ts';
import { lockStateDir, nodeIdOf } from '../../src/roles/state-dir.ts';
import { readStateLock } from '../../src/roles/state-lock.ts';
import { tempDir } from '../support/temp-dir.ts';

const SOURCE = fileURLToPath(new URL('../../src/roles/state-dir.ts', import.meta.url));
const PATHS = fileURLToPath(new URL('../../src/config/paths.ts', import.meta.url));

function newPaths(): StatePaths {
  const paths = statePaths(join(tempDir(), 'state'));
  onTestFinished(() => rmSync(paths.sockets, { recursive: true, force: true }));
  return paths;
}

it('is held by one process at a time, and says by whom', async () => {
  const paths = newPaths();
  const { release, announce } = await lockStateDir(paths, 'head');
  expect(await readStateLock(paths)).toEqual({ ...identityOf(process.pid), role: 'head', admin: null });
  await expect(lockStateDir(paths, 'worker')).rejects.toMatchObject({
    code: 'STATE_DIR_LOCKED',
    message: expect.stringContaining(`head (pid ${process.pid})`),
  });
  await announce('127.0.0.1:8265');
  expect(await readStateLock(paths)).toMatchObject({ admin: '127.0.0.1:8265' });
  await release();
  expect(await readStateLock(paths)).toBeNull();
  await (await lockStateDir(paths, 'worker')).release();
});

it('is nobody else’s to read', async () => {
  const paths = newPaths();
  await lockStateDir(paths, 'head');
  for (const path of [paths.root, paths.sockets]) expect(statSync(path).mode & 0o077, path).toBe(0);
  expect(statSync(paths.lock).mode & 0o077).toBe(0);
});

it.each<[string, (folder: string) => void]>([
  ['a link, which somebody else may have made', (folder) => symlinkSync(tempDir(), folder)],
  [
    'a folder that others may write',
    (folder) => chmodSync(mkdirSync(folder, { recursive: true }) ?? folder, 0o777),
  ],
])('has no sockets in %s', async (_what, make) => {
  const all = tempDir();
  vi.stubEnv('TMPDIR', all);
  onTestFinished(() => void vi.unstubAllEnvs());
  const paths = newPaths();
  make(dirname(paths.sockets));
  await expect(lockStateDir(paths, 'head')).rejects.toMatchObject({
    code: 'STATE_DIR_UNSAFE',
    message: expect.stringContaining(dirname(paths.sockets)),
  });
});

it.each([
  ['a process that has died', JSON.stringify({ pid: 1, startTicks: -5, role: 'head', admin: null })],
  ['nobody, since it is cut short', '{"pid": 1, "st'],
])('is taken over from %s', async (_holder, content) => {
  const paths = newPaths();
  mkdirSync(paths.root, { recursive: true });
  writeFileSync(paths.lock, content);
  await lockStateDir(paths, 'worker');
  expect(await readStateLock(paths)).toMatchObject({ pid: process.pid, role: 'worker' });
});

it('goes to exactly one of several that find the lock of a dead process at once', async () => {
  const paths = newPaths();
  mkdirSync(paths.root, { recursive: true });
  writeFileSync(paths.lock, JSON.stringify({ pid: 1, startTicks: -5, role: 'head', admin: null }));
  const starters = await Promise.all(Array.from({ length: 4 }, () => starter(paths.root)));
  for (const one of starters) one.go();
  const outcomes = await Promise.all(starters.map((one) => one.outcome));
  for (const one of starters) one.end();
  expect(outcomes.filter((outcome) => outcome === 'locked')).toHaveLength(1);
  expect(outcomes.filter((outcome) => outcome === 'STATE_DIR_LOCKED')).toHaveLength(3);
}, 60_000);

/** A process that takes the state directory when it is told to, and keeps it until it is told to end. */
async function starter(root: string) {
  const script = join(tempDir(), 'starter.mjs');
  const contents = `
    import { lockStateDir } from ${JSON.stringify(SOURCE)};
    import { statePaths } from ${JSON.stringify(PATHS)};
    process.stdout.write('ready\\n');
    process.stdin.once('data', async () => {
      const outcome = await lockStateDir(statePaths(${JSON.stringify(root)}), 'head').then(() => 'locked', (error) => error.code);
      process.stdout.write(outcome + '\\n');
    });
    process.stdin.once('end', () => process.exit(0));`;
  await build({
    stdin: { contents, resolveDir: dirname(SOURCE) },
    outfile: script,
    bundle: true,
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  });
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  const line = async (count: number): Promise<string> => {
    await expect.poll(() => output.split('\n').length, { timeout: 30_000 }).toBeGreaterThan(count);
    return output.split('\n')[count - 1] ?? '';
  };
  child.stdout.on('data', (chunk: Buffer) => {
    output += String(chunk);
  });
  await line(1);
  return { go: () => child.stdin.write('go\n'), outcome: line(2), end: () => child.stdin.end() };
}

it('gives a node its id for life', async () => {
  const paths = newPaths();
  const made = await nodeIdOf(paths);
  expect(made).toMatch(/^n-[0-9a-f]{8}$/);
  expect(await nodeIdOf(paths)).toBe(made);
  expect(existsSync(paths.nodeId)).toBe(true);
});
