import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { identityOf, isRunning } from '../../lib/process/identity.ts';
import { lockFile } from '../../lib/process/lock-file.ts';

/** Large environments (torch with CUDA: several GB) over a slow line take their time. */
const BUILD_TIMEOUT_MS = 60 * 60 * 1000;
const MARKER = 'complete.json';

/** One line of output of a build, for a person who waits. */
export type OnProgress = (line: string) => void;

export interface BuildRequest {
  /** one per content key; what is built lies in a folder below it */
  readonly folder: string;
  /** fills the empty folder `dir`; whatever it throws, the folder is removed */
  readonly build: (dir: string, say: OnProgress) => Promise<void>;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/**
 * Builds something once for all processes on this machine and returns its folder. The folder has its final name from
 * the beginning, because virtual environments cannot be moved; a marker written last names the finished one, so that a
 * build killed half-way is never taken for finished. Output is kept in `build.log` beside it.
 */
export async function buildOnce(request: BuildRequest): Promise<string> {
  const { folder, signal, onProgress } = request;
  const finished = await finishedBuild(folder);
  if (finished !== null) return finished;
  const release = await lockFile(join(folder, 'lock'), {
    timeoutMs: BUILD_TIMEOUT_MS,
    signal,
    onWait: (pid) => onProgress(`waiting for the same build by process ${pid}`),
  });
  try {
    return (await finishedBuild(folder)) ?? (await build(request));
  } finally {
    await release();
  }
}

async function finishedBuild(folder: string): Promise<string | null> {
  const marker = await readIfThere(join(folder, MARKER));
  if (marker === null) return null;
  const dir = join(folder, (JSON.parse(marker) as { readonly dir: string }).dir);
  return existsSync(dir) ? dir : null; // somebody made room by hand: built again
}

async function build({ folder, build: fill, onProgress }: BuildRequest): Promise<string> {
  await removeLeftovers(folder);
  const owner = identityOf(process.pid);
  const name = `build-${process.pid}-${owner?.startTicks ?? 0}-${randomBytes(4).toString('hex')}`;
  const dir = join(folder, name);
  await mkdir(dir);
  const log = join(folder, 'build.log');
  const say = (line: string): void => {
    appendFileSync(log, `${line}\n`);
    onProgress(line);
  };
  try {
    await fill(dir, say);
    await writeDurably(join(folder, MARKER), JSON.stringify({ dir: name }));
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  return dir;
}

/** What builders that died left behind; one that still runs (a lock lost to a race) keeps its folder. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const match = /^build-(\d+)-(\d+)-/.exec(name);
    if (match === null) continue;
    const owner = { pid: Number(match[1]), startTicks: Number(match[2]) };
    if (!isRunning(owner)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
