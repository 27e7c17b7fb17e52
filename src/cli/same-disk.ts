import { readFile, stat } from 'node:fs/promises';
import type { FileLook } from '../admin/types.ts';
import { identityOf } from '../lib/file-identity.ts';
import { sha256 } from '../lib/hash.ts';

/** Nobody saves that often by hand; an editor takes two or three steps. */
const MOST_LOOKS = 20;

/**
 * Whether the head sees the same disk, by a file that both look at. One that is saved in between looks different to the head,
 * too, so it is looked at again: taken for another machine's, it would be uploaded, and every replica replaced.
 */
export async function seesSameDisk(
  head: { sees(file: FileLook): Promise<boolean> },
  path: string,
): Promise<boolean> {
  let look = await lookAt(path);
  for (let looks = 1; ; looks += 1) {
    if (await head.sees(look)) return true;
    const now = await lookAt(path);
    const hasChanged = now.identity !== look.identity || now.sha256 !== look.sha256;
    if (!hasChanged || looks === MOST_LOOKS) return false;
    look = now;
  }
}

async function lookAt(path: string): Promise<FileLook> {
  const identity = identityOf(await stat(path, { bigint: true }));
  return { path, identity, sha256: sha256(await readFile(path)) };
}
