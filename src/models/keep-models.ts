import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, copyFile, link, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../lib/content/content-store.ts';
import { totalBytesOf } from '../lib/content/manifest.ts';
import type { Room } from '../lib/content/room.ts';
import { codeOf } from '../lib/errors.ts';
import { copyDigested, digestFile, FileChangedError } from '../lib/file-digests.ts';

const FILES_AT_ONCE = 2;

export interface KeepOptions {
  readonly store: ContentStore;
  /** the files are on the store's own file system and nobody writes to them any more: links do */
  readonly areOurs: boolean;
  readonly room: Room;
  /** until it comes, nothing of it makes way for anything */
  readonly signal: AbortSignal;
}

/**
 * Keeps models by their hashes, so that a revision has its bytes whatever becomes of the files in the model folder: a
 * clone where the file system can share blocks, a copy where not. One without room for a copy is used in place.
 * @param models as they lie in the model folder
 * @returns those that are used in place
 * @throws FileChangedError when one is written to meanwhile
 */
export async function keepModels(
  models: readonly StoredContent[],
  options: KeepOptions,
): Promise<readonly StoredContent[]> {
  const { store, room, signal } = options;
  const inPlace: StoredContent[] = [];
  for (const model of models) {
    room.hold(model.hash, signal);
    const known = await store.find(model.hash);
    if (known?.root === store.pathOf(model.hash)) await store.touch(model.hash);
    else if (!(await keep(model, options))) inPlace.push(model);
  }
  return inPlace;
}

/** @returns false when there was no room */
async function keep(model: StoredContent, { store, areOurs, room }: KeepOptions): Promise<boolean> {
  const target = store.pathOf(model.hash);
  const draft = `${target}.${randomBytes(6).toString('hex')}`;
  await mkdir(dirname(target), { recursive: true });
  try {
    if (areOurs) await each(model.files, draft, ({ path }, copy) => link(join(model.root, path), copy));
    else await copyAll(model, draft, room);
    await rm(target, { recursive: true, force: true });
    await rename(draft, target);
    await store.add({ ...model, root: target });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') throw error;
    await store.add(model);
    return false;
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function copyAll(model: StoredContent, draft: string, room: Room): Promise<void> {
  if (await cloneAll(model, draft)) return;
  const reservation = await room.reserve({ folder: draft, totalBytes: totalBytesOf(model.files) });
  if (!reservation.ok) throw Object.assign(new Error('no room for a copy'), { code: 'ENOSPC' });
  try {
    await copyFiles(model, draft);
  } finally {
    reservation.release();
  }
}

async function copyFiles({ root, files }: StoredContent, draft: string): Promise<void> {
  for (const { path } of files) await mkdir(dirname(join(draft, path)), { recursive: true });
  const copies = files.map(({ path, sizeBytes }) => ({
    source: join(root, path),
    target: join(draft, path),
    ...{ sizeBytes, executable: false },
  }));
  const digests = await copyDigested(copies);
  const other = files.find(({ sha256 }, index) => digests[index]?.sha256 !== sha256);
  if (other !== undefined) throw changed(join(root, other.path));
}

/** @returns false when the file system cannot share blocks between files */
async function cloneAll(
  { root, files }: Pick<StoredContent, 'root' | 'files'>,
  draft: string,
): Promise<boolean> {
  try {
    await each(files, draft, async ({ path, sha256 }, copy) => {
      await copyFile(join(root, path), copy, constants.COPYFILE_FICLONE_FORCE);
      if ((await digestFile(copy)).sha256 !== sha256) throw changed(join(root, path));
      await chmod(copy, 0o444);
    });
    return true;
  } catch (error) {
    if (!['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'ENOSYS', 'EINVAL', 'ENOTTY'].includes(codeOf(error) ?? '')) {
      throw error;
    }
    await rm(draft, { recursive: true, force: true });
    return false;
  }
}

async function each(
  files: StoredContent['files'],
  draft: string,
  work: (file: StoredContent['files'][number], copy: string) => Promise<void>,
): Promise<void> {
  await mapConcurrently(files, FILES_AT_ONCE, async (file) => {
    const copy = join(draft, file.path);
    await mkdir(dirname(copy), { recursive: true });
    await work(file, copy);
  });
}

function changed(path: string): FileChangedError {
  return new FileChangedError(`${path} changed while it was copied; apply again once it is complete`, {
    code: 'FILE_CHANGED',
    path,
  });
}
