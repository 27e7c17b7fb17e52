import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from './errors.ts';

/**
 * Writes a file so that after a crash it holds either the old or the new content, never a part: temporary file,
 * fsync, rename, fsync of the folder. Missing folders are made.
 * @param mode permission bits of the file, owner read-write by default
 */
export async function writeDurably(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folderHandle = await open(folder, 'r');
  try {
    await folderHandle.sync();
  } finally {
    await folderHandle.close();
  }
}

/** The text of a file, or null where there is none. Other failures throw. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Names of what is in a folder, sorted; empty where there is no such folder. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Why a folder is not this user's alone; null where it is. Where everybody may make folders (`/tmp`, `/dev/shm`) a name that is known
 * may have been taken by somebody else, by a link, too.
 * @throws the error of lstat, ENOENT where there is none
 */
export async function whyNotOurs(folder: string): Promise<string | null> {
  const status = await lstat(folder);
  if (!status.isDirectory()) return 'is no folder';
  if (status.uid !== process.getuid?.()) return `belongs to user id ${status.uid}, and not to who runs this`;
  return (status.mode & 0o022) === 0 ? null : 'may be written by others';
}

const BLOCK_BYTES = 512;

/** Bytes on disk of all that lies below a folder; what vanishes meanwhile counts nothing. */
export async function folderSizeBytes(folder: string): Promise<number> {
  let sizeBytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name);
    const status = await lstat(path).catch(() => null);
    sizeBytes += (status?.blocks ?? 0) * BLOCK_BYTES;
    if (entry.isDirectory()) sizeBytes += await folderSizeBytes(path);
  }
  return sizeBytes;
}
