import { constants } from 'node:fs';
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ServeError } from '../../lib/errors.ts';

/** The sticky bit, which means nothing else on a file: not all of it is there. */
const STICKY = 0o1000;
const COMPLETE_MODE = 0o644;

/**
 * Makes a file of that size without any bytes of its own, which says so: who opens it with the preload library waits.
 * Missing folders are made.
 * @throws ServeError PLACEHOLDER_REFUSED where the file system keeps no sticky bit; Node's errors
 */
export async function makePlaceholder(path: string, sizeBytes: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await file.chmod(STICKY | COMPLETE_MODE); // before it has its size: nobody ever sees zeros without the bit
    await file.truncate(sizeBytes);
    if (((await file.stat()).mode & STICKY) !== 0) return;
  } finally {
    await file.close();
  }
  throw new ServeError(
    `${path}: this file system keeps no sticky bit, which marks files that are not there yet; use another folder`,
    { code: 'PLACEHOLDER_REFUSED' },
  );
}

/** Says that all bytes of a placeholder are there. */
export async function finishPlaceholder(path: string): Promise<void> {
  await chmod(path, COMPLETE_MODE);
}

/** Whether a file still lacks bytes; false where there is none. */
export async function isPlaceholder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() === true && (found.mode & STICKY) !== 0;
}
