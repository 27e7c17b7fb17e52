import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { NodeRole } from '../cluster/nodes/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { readIfThere, whyNotOurs, writeDurably } from '../lib/files.ts';
import { identityOf, isRunning } from '../lib/process/identity.ts';
import { lockFile } from '../lib/process/lock-file.ts';
import { makeSocketFolder, removeSocketFolder, sweepSocketFolders } from './socket-folders.ts';
import { guardOf, readStateLock, type StateLock } from './state-lock.ts';

/** Taking a state directory is a matter of milliseconds: whoever waits longer for another starter says so. */
const GUARD_TIMEOUT_MS = 5_000;

/**
 * Takes a state directory for this process. Of several that start at once exactly one gets it.
 * @throws ServeError STATE_DIR_LOCKED naming who holds it; STATE_DIR_UNUSABLE; STATE_DIR_UNSAFE when its sockets would lie in a folder of
 * somebody else
 */
export async function lockStateDir(
  paths: StatePaths,
  role: NodeRole,
): Promise<{ readonly release: () => Promise<void>; readonly announce: (admin: string) => Promise<void> }> {
  await makeStateDir(paths.root);
  const folders = dirname(paths.sockets);
  await mkdir(folders, { recursive: true, mode: 0o700 });
  await checkOwner(folders);
  const self = identityOf(process.pid) ?? { pid: process.pid, startTicks: -1 };
  const write = async (admin: string | null): Promise<void> =>
    await writeDurably(paths.lock, JSON.stringify({ ...self, role, admin } satisfies StateLock));
  const releaseGuard = await lockFile(guardOf(paths), { timeoutMs: GUARD_TIMEOUT_MS });
  try {
    const holder = await readStateLock(paths);
    if (holder !== null && isRunning(holder)) throw locked(paths, holder);
    await write(null);
    await makeSocketFolder(paths); // only now: who leaves removes it while the lock is still its own
  } finally {
    await releaseGuard();
  }
  await sweepSocketFolders(paths);
  const release = async (): Promise<void> => {
    await removeSocketFolder(paths);
    await rm(paths.lock, { force: true });
  };
  return { release, announce: write };
}

async function makeStateDir(root: string): Promise<void> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    await access(root, constants.W_OK);
  } catch (cause) {
    throw new ServeError(
      `the state directory ${root} cannot be used (${messageOf(cause)}). Give another with --state-dir.`,
      { code: 'STATE_DIR_UNUSABLE' },
      { cause },
    );
  }
}

/**
 * The folder lies where everybody may make one, or a link to one: in one that is not ours alone, others could answer in our
 * name.
 */
async function checkOwner(folder: string): Promise<void> {
  const problem = await whyNotOurs(folder);
  if (problem === null) return;
  throw new ServeError(`${folder} ${problem}. Remove it, or set TMPDIR to a folder of your own.`, {
    code: 'STATE_DIR_UNSAFE',
  });
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
