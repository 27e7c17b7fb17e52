import { randomBytes } from 'node:crypto';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import { TEMPORARY_PREFIX } from './snapshot.ts';

/**
 * Deletes the snapshots that no revision names any more, and what interrupted runs left behind. What was made or used
 * within the time of grace stays: the revision that will name it may not be recorded yet.
 * @param options.keep hashes of all revisions that can still be returned to or are still running somewhere
 * @returns the hashes deleted
 */
export async function pruneSnapshots(options: {
  readonly snapshotsDir: string;
  readonly keep: Iterable<string>;
  readonly graceMs: number;
}): Promise<readonly string[]> {
  const keep = new Set(options.keep);
  const deleted: string[] = [];
  for (const name of await namesIn(options.snapshotsDir)) {
    const isTemporary = name.startsWith(TEMPORARY_PREFIX);
    if (!isTemporary && (keep.has(name) || !/^[0-9a-f]{64}$/.test(name))) continue;
    const path = join(options.snapshotsDir, name);
    const status = await stat(path).catch(() => null);
    if (status === null || Date.now() - status.mtimeMs < options.graceMs) continue;
    await removeWhole(path, options.snapshotsDir);
    if (!isTemporary) deleted.push(name);
  }
  return deleted;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Renamed first, so that an interrupted deletion leaves nothing that looks like a snapshot. */
async function removeWhole(path: string, snapshotsDir: string): Promise<void> {
  const doomed = join(snapshotsDir, TEMPORARY_PREFIX + randomBytes(6).toString('hex'));
  await rename(path, doomed);
  await rm(doomed, { recursive: true, force: true });
}
