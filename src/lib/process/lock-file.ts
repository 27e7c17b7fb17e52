import { randomBytes } from 'node:crypto';
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, ServeError } from '../errors.ts';
import { readIfThere } from '../files.ts';
import { sha256 } from '../hash.ts';
import { identityOf, isRunning, type ProcessIdentity } from './identity.ts';

const RETRY_MS = 50;

export interface LockOptions {
  /** how long to wait for another holder; 0: not at all */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** called once when another process holds the lock and this one starts to wait */
  readonly onWait?: (holderPid: number) => void;
}

/** Gives the lock back; a second call does nothing. */
export type ReleaseLock = () => Promise<void>;

/**
 * A lock between processes that is free again when its holder has died: the file names the holder by pid and start
 * time. Missing folders are made.
 * @throws ServeError LOCK_HELD naming the holder, when `timeoutMs` has passed
 */
export async function lockFile(path: string, options: LockOptions): Promise<ReleaseLock> {
  const deadline = performance.now() + options.timeoutMs;
  const content = JSON.stringify({ ...identityOf(process.pid), token: randomBytes(8).toString('hex') });
  let waited = false;
  for (;;) {
    await mkdir(dirname(path), { recursive: true }); // each time: who held it may have removed the folder
    const holder = await takeOrFindHolder(path, content);
    if (holder === 'taken') return () => release(path, content);
    if (holder === null) continue;
    if (performance.now() >= deadline) {
      throw new ServeError(`${path} is held by process ${holder.pid}, which still runs`, {
        code: 'LOCK_HELD',
      });
    }
    if (!waited) options.onWait?.(holder.pid);
    waited = true;
    await delay(RETRY_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
}

/** Whether a process that still runs holds the lock now; nothing is changed. */
export async function isLocked(path: string): Promise<boolean> {
  const holder = parseHolder((await readIfThere(path)) ?? '');
  return holder !== null && isRunning(holder);
}

/** A hard link appears with its content at once: nobody ever reads a half-written lock. */
async function create(path: string, content: string): Promise<boolean> {
  const draft = await draftOf(path, content);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function draftOf(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, content, { mode: 0o600, flag: 'wx' });
  return draft;
}

/** @returns who has it, or is about to; null when that has changed meanwhile: to be tried again */
async function takeOrFindHolder(path: string, content: string): Promise<ProcessIdentity | 'taken' | null> {
  if (await create(path, content)) return 'taken';
  const text = await readIfThere(path);
  if (text === null) return null;
  const holder = parseHolder(text);
  if (holder !== null && isRunning(holder)) return holder;
  return succeed(path, text, content);
}

/**
 * Takes the place of a dead holder. Whoever does that holds a lock of its own for it, named after what the dead one wrote: so
 * nobody replaces a live holder who came in between, and nobody is ever missing in the meantime.
 */
async function succeed(
  path: string,
  deadContent: string,
  content: string,
): Promise<ProcessIdentity | 'taken' | null> {
  const claim = `${path}.${sha256(deadContent).slice(0, 12)}`;
  const claimed = await takeOrFindHolder(claim, content);
  if (claimed !== 'taken') return claimed;
  try {
    if ((await readIfThere(path)) !== deadContent) return null;
    const draft = await draftOf(path, content);
    await rename(draft, path);
    return 'taken';
  } finally {
    await rm(claim, { force: true });
  }
}

async function release(path: string, content: string): Promise<void> {
  if ((await readIfThere(path)) === content) await rm(path, { force: true });
}

function parseHolder(text: string): ProcessIdentity | null {
  try {
    const { pid, startTicks } = JSON.parse(text) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : null;
  } catch {
    return null;
  }
}
