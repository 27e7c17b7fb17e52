import { randomBytes } from 'node:crypto';
import { link, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import type { NodeRole } from '../cluster/nodes/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import { identityOf, isRunning, type ProcessIdentity } from '../lib/process/identity.ts';

/** Who holds a state directory, and how its node is reached from this machine. */
export interface StateLock extends ProcessIdentity {
  readonly role: NodeRole;
  /** `host:port` of the admin API, on a head */
  readonly admin: string | null;
}

/**
 * Takes a state directory for this process.
 * @throws ServeError STATE_DIR_LOCKED naming who holds it
 */
export async function lockStateDir(
  paths: StatePaths,
  role: NodeRole,
): Promise<{ readonly release: () => Promise<void>; readonly announce: (admin: string) => Promise<void> }> {
  await mkdir(paths.root, { recursive: true, mode: 0o700 });
  await mkdir(paths.sockets, { recursive: true, mode: 0o700 });
  const self = identityOf(process.pid) ?? { pid: process.pid, startTicks: -1 };
  const holder = await readStateLock(paths);
  if (holder !== null && isRunning(holder)) throw locked(paths, holder);
  const mine = `${paths.lock}.${process.pid}`;
  await writeFile(mine, JSON.stringify({ ...self, role, admin: null } satisfies StateLock), { mode: 0o600 });
  try {
    // A lock left by a dead process is moved away first; link() then lets exactly one of several starters win.
    if (holder !== null) await rename(paths.lock, `${mine}.stale`).catch(() => undefined);
    await link(mine, paths.lock);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    throw locked(paths, (await readStateLock(paths)) ?? { ...self, role, admin: null });
  } finally {
    await rm(mine, { force: true });
    await rm(`${mine}.stale`, { force: true });
  }
  return {
    release: async () => await rm(paths.lock, { force: true }),
    announce: async (admin) =>
      await writeDurably(paths.lock, JSON.stringify({ ...self, role, admin } satisfies StateLock)),
  };
}

/** Who holds the state directory, or null; whether that process still runs is the caller's to ask. */
export async function readStateLock(paths: StatePaths): Promise<StateLock | null> {
  const text = await readIfThere(paths.lock);
  return text === null ? null : (JSON.parse(text) as StateLock);
}

function locked(paths: StatePaths, holder: StateLock): ServeError {
  return new ServeError(
    `the state directory ${paths.root} is in use by a modelserve ${holder.role} (pid ${holder.pid}). Stop it with \`modelserve stop --state-dir ${paths.root}\`, or give this node its own with --state-dir.`,
    { code: 'STATE_DIR_LOCKED' },
  );
}

/** The node's id for life: made at the first start in this state directory. */
export async function nodeIdOf(paths: StatePaths): Promise<string> {
  const known = (await readIfThere(paths.nodeId))?.trim();
  if (known !== undefined && known !== '') return known;
  const made = `n-${randomBytes(4).toString('hex')}`;
  await writeDurably(paths.nodeId, `${made}\n`);
  return made;
}
