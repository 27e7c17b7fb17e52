import { randomBytes } from 'node:crypto';
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf, ServeError } from '../errors.ts';
import { readIfThere } from '../files.ts';
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
    if (await create(path, content)) return () => release(path, content);
    const holder = await holderOf(path);
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
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, content, { mode: 0o600, flag: 'wx' });
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

/** @returns null when the lock is free now: nobody held it, or its holder has died and it was taken away */
async function holderOf(path: string): Promise<ProcessIdentity | null> {
  const text = await readIfThere(path);
  if (text === null) return null;
  const holder = parseHolder(text);
  if (holder !== null && isRunning(holder)) return holder;
  await takeAway(path, text);
  return null;
}

/** Moves the dead holder's file aside; where a live one was caught instead (it came in between), puts it back. */
async function takeAway(path: string, deadContent: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  const caught = await readIfThere(aside);
  if (caught !== deadContent) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
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
