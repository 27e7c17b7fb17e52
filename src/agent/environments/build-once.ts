import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { namesIn, readIfThere, writeDurably } from '../../lib/files.ts';
import { runCommand } from '../../lib/process/command.ts';
import { identityOf, isRunning } from '../../lib/process/identity.ts';
import { lockFile } from '../../lib/process/lock-file.ts';
import type { OnProgress } from '../../lib/shared-work.ts';
import { PreparationError } from './preparation-error.ts';

/** Large environments (torch with CUDA: several GB) over a slow line take their time. */
const BUILD_TIMEOUT_MS = 60 * 60 * 1000;
/** Hundreds of thousands of files on a busy disk. */
const REMOVE_MS = 10 * 60 * 1000;
const MARKER = 'complete.json';
const BUILD_FOLDER = /^build-(\d+)-(\d+)-/;

export const LOCK_NAME = 'lock';

export interface BuildRequest {
  /** one per content key; what is built lies in a folder below it */
  readonly folder: string;
  /** for people who look at it later: `venv (requirements.txt, Python 3.11.7, uv)` */
  readonly description: string;
  /** fills the empty folder `dir`; whatever it throws, the folder is removed */
  readonly build: (dir: string, say: OnProgress) => Promise<void>;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/** What is known of a finished build. */
export interface FinishedBuild {
  readonly dir: string;
  readonly description: string;
}

/**
 * Builds something once for all processes on this machine and returns its folder. The folder has its final name from
 * the beginning, because virtual environments cannot be moved; a marker written last names the finished one, so that a
 * build killed half-way is never taken for finished. Output is kept in `build.log` beside it.
 * @throws PreparationError DISK_FULL, or what the build throws
 */
export async function buildOnce(request: BuildRequest): Promise<string> {
  const { folder, signal, onProgress } = request;
  const finished = await finishedBuild(folder);
  if (finished !== null) return finished.dir;
  try {
    const release = await lockFile(join(folder, LOCK_NAME), {
      timeoutMs: BUILD_TIMEOUT_MS,
      signal,
      onWait: (pid) => onProgress(`waiting for the same build by process ${pid}`),
    });
    try {
      return (await finishedBuild(folder))?.dir ?? (await build(request));
    } finally {
      await release();
    }
  } catch (error) {
    throw asDiskFull(error, folder);
  }
}

/** @returns null where nothing is finished, or somebody made room by hand: it is built again */
export async function finishedBuild(folder: string): Promise<FinishedBuild | null> {
  const marker = await readIfThere(join(folder, MARKER));
  if (marker === null) return null;
  const { dir, description = '' } = JSON.parse(marker) as Partial<FinishedBuild>;
  const path = join(folder, dir ?? '');
  return existsSync(path) ? { dir: path, description } : null;
}

async function build({ folder, description, build: fill, onProgress }: BuildRequest): Promise<string> {
  await removeLeftovers(folder);
  const owner = identityOf(process.pid);
  const name = `build-${process.pid}-${owner?.startTicks ?? 0}-${randomBytes(4).toString('hex')}`;
  const dir = join(folder, name);
  await mkdir(dir);
  const log = join(folder, 'build.log');
  await writeFile(log, '');
  try {
    await fill(dir, (line) => {
      appendIfRoom(log, line);
      onProgress(line);
    });
    await writeDurably(join(folder, MARKER), JSON.stringify({ dir: name, description }));
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
  return dir;
}

/** What the tool says of a full disk is worth more than that its log cannot be written either. */
function appendIfRoom(log: string, line: string): void {
  try {
    appendFileSync(log, `${line}\n`);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  }
}

/** Removes what was built, its marker first: what is half removed is nothing finished. To be called under the lock. */
export async function removeBuild(folder: string): Promise<void> {
  await rm(join(folder, MARKER), { force: true });
  for (const name of await namesIn(folder)) {
    if (name !== LOCK_NAME) await removeTree(join(folder, name));
  }
}

/**
 * By the program, which holds on to each folder that it enters: a user who has a folder in there (see stageCode) cannot lead
 * it elsewhere meanwhile, as could be done to `rm` of node:fs.
 */
async function removeTree(path: string): Promise<void> {
  const run = await runCommand('rm', ['-rf', '--', path], {
    env: { PATH: '/usr/bin:/bin' },
    timeoutMs: REMOVE_MS,
  });
  if (run.exitCode !== 0) throw new Error(`cannot remove ${path}: ${run.output.trim()}`);
}

/** What builders that died left behind; one that still runs (a lock lost to a race) keeps its folder. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const match = BUILD_FOLDER.exec(name);
    if (match === null) continue;
    const owner = { pid: Number(match[1]), startTicks: Number(match[2]) };
    if (!isRunning(owner)) await removeTree(join(folder, name));
  }
}

function isDiskFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';
}

/** Whether it was this process that found the disk full, or a tool that says so in its output. */
function asDiskFull(error: unknown, folder: string): unknown {
  const details = error instanceof PreparationError ? error.data.details : '';
  if (!isDiskFull(error) && !/No space left on device|ENOSPC|Disk quota exceeded/i.test(details))
    return error;
  const message = `the disk that holds ${folder} is full: an environment cannot be built. Make room (\`modelserve env prune\`), then apply again`;
  return new PreparationError('DISK_FULL', message, details);
}
