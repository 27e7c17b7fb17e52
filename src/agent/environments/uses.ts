import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { namesIn } from '../../lib/files.ts';

const FOLDER = 'uses';

/** Who uses an environment: a package with one content. */
export interface EnvironmentUse {
  readonly packageName: string;
  /** first characters of the content's hash: enough to find it among revisions */
  readonly hash: string;
  readonly lastUsedMs: number;
}

/** The part of a package's hash that uses are noted by. */
export function useHash(packageHash: string): string {
  return packageHash.slice(0, 16);
}

/** Notes that a package uses what lies in the folder, now. A disk that is full keeps nobody from using it. */
export async function noteUse(folder: string, packageName: string, packageHash: string): Promise<void> {
  try {
    await mkdir(join(folder, FOLDER), { recursive: true });
    await writeFile(join(folder, FOLDER, `${packageName}@${useHash(packageHash)}`), '');
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES'].includes(codeOf(error) ?? '')) throw error;
  }
}

/** The latest use first; empty where none was noted. */
export async function readUses(folder: string): Promise<readonly EnvironmentUse[]> {
  const uses: EnvironmentUse[] = [];
  for (const name of await namesIn(join(folder, FOLDER))) {
    const [packageName = '', hash = ''] = name.split('@');
    const { mtimeMs } = await stat(join(folder, FOLDER, name));
    uses.push({ packageName, hash, lastUsedMs: mtimeMs });
  }
  return uses.sort((left, right) => right.lastUsedMs - left.lastUsedMs);
}
