import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';

/** Import checks that have passed on this node: an empty file each, below the folder of staged code. */
export const PASSED_CHECKS = 'checked';

/** Whether the check has passed before; a look at it counts as a use. */
export async function isRemembered(stageDir: string, key: string): Promise<boolean> {
  const now = new Date();
  try {
    await utimes(join(stageDir, PASSED_CHECKS, key), now, now);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

export async function remember(stageDir: string, key: string): Promise<void> {
  await mkdir(join(stageDir, PASSED_CHECKS), { recursive: true });
  await writeFile(join(stageDir, PASSED_CHECKS, key), '');
}
