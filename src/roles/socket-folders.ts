import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { type StatePaths, statePaths } from '../config/paths.ts';
import { codeOf } from '../lib/errors.ts';
import { namesIn, readIfThere } from '../lib/files.ts';
import { isRunning } from '../lib/process/identity.ts';
import { lockFile } from '../lib/process/lock-file.ts';
import { hasLeftovers } from './leftovers.ts';
import { guardOf, readStateLock } from './state-lock.ts';

/** File in a socket folder: the path of the state directory that it belongs to. Its own name is only a hash. */
const OWNER = 'state-dir';

/** Makes the folder of a state directory's sockets. The caller holds the state directory. */
export async function makeSocketFolder({ sockets, root }: StatePaths): Promise<void> {
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  await writeFile(join(sockets, OWNER), `${root}\n`, { mode: 0o600 });
}

/** Removes it again, unless something of this state directory serves on. The caller still holds the state directory. */
export async function removeSocketFolder(paths: StatePaths): Promise<void> {
  if (!hasLeftovers(paths)) await rm(paths.sockets, { recursive: true, force: true });
}

/**
 * Removes what other state directories of this user have left where sockets lie, and in memory, when their node was killed and
 * nothing of it runs any more. Whatever cannot be judged stays. Does not throw.
 */
export async function sweepSocketFolders(own: StatePaths): Promise<void> {
  const parent = dirname(own.sockets);
  for (const name of await namesIn(parent).catch(() => [])) {
    const folder = join(parent, name);
    if (folder !== own.sockets) await sweep(folder).catch(() => undefined);
  }
}

async function sweep(folder: string): Promise<void> {
  const root = (await readIfThere(join(folder, OWNER)))?.trimEnd();
  if (root === undefined) return;
  const paths = statePaths(root);
  if (paths.sockets !== folder) return;
  if (!existsSync(root)) {
    if (await anybodyAnswers(folder)) return; // it has lost its state directory, or that is in a container
    for (const left of [folder, paths.memory]) await rm(left, { recursive: true, force: true });
    return;
  }
  const release = await lockFile(guardOf(paths), { timeoutMs: 0 }); // nobody starts there meanwhile
  try {
    const holder = await readStateLock(paths);
    const isInUse = (holder !== null && isRunning(holder)) || (await anybodyAnswers(folder));
    // What a model has in memory is for the next node process there.
    if (!isInUse) await removeSocketFolder(paths);
  } finally {
    await release();
  }
}

async function anybodyAnswers(folder: string): Promise<boolean> {
  const sockets = (await namesIn(folder)).filter((name) => name.endsWith('.sock'));
  const answers = await Promise.all(sockets.map((name) => isAnswered(join(folder, name))));
  return answers.includes(true);
}

/** Whatever is wrong with it besides, somebody may be there. */
async function isAnswered(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(socketPath, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', (error) => resolve(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')));
  });
}
