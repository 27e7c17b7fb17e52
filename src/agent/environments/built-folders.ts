import { rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from '../../lib/errors.ts';
import { namesIn } from '../../lib/files.ts';
import { isLocked, lockFile } from '../../lib/process/lock-file.ts';
import { finishedBuild, LOCK_NAME, removeBuild } from './build-once.ts';
import { type EnvironmentUse, readUses } from './uses.ts';

/** Folders of environments, and of staged code (for a user of its own: `-u1000`), as buildOnce fills them. */
const NAME =
  /^(?:(?:venv|conda|npm|python|node)-[0-9a-f]{32}|[0-9a-f]{64}-(?:plain|[0-9a-f]{16})(?:-u\d+)?)$/;

/** Something that was built on this node, finished or not. */
export interface BuiltFolder {
  /** kind and content key: the folder's name */
  readonly key: string;
  readonly folder: string;
  readonly state: 'ready' | 'building' | 'unfinished';
  /** '' where it is not finished */
  readonly description: string;
  /** the latest first */
  readonly uses: readonly EnvironmentUse[];
  /** when it was made, where no use was noted */
  readonly lastUsedMs: number;
}

/** Everything that was built below a folder (StatePaths.environments or .stage), by key. */
export async function listBuilt(parent: string): Promise<readonly BuiltFolder[]> {
  const built: BuiltFolder[] = [];
  for (const key of (await namesIn(parent)).filter((name) => NAME.test(name))) {
    const one = await describe(join(parent, key), key);
    if (one !== null) built.push(one);
  }
  return built;
}

/** @returns null for a folder that is gone, or that a removal has left empty */
async function describe(folder: string, key: string): Promise<BuiltFolder | null> {
  const made = await stat(folder).catch(() => null);
  if (made === null || (await namesIn(folder)).length === 0) return null;
  const [finished, uses] = await Promise.all([finishedBuild(folder), readUses(folder)]);
  const isBuilding = finished === null && (await isLocked(join(folder, LOCK_NAME)));
  return {
    ...{ key, folder, uses },
    state: finished !== null ? 'ready' : isBuilding ? 'building' : 'unfinished',
    description: finished?.description ?? '',
    lastUsedMs: uses[0]?.lastUsedMs ?? made.mtimeMs,
  };
}

/** @returns false when it is being built, or removed, by another process */
export async function removeBuilt(folder: string): Promise<boolean> {
  try {
    const release = await lockFile(join(folder, LOCK_NAME), { timeoutMs: 0 });
    try {
      await removeBuild(folder);
    } finally {
      await release();
    }
    await rmdir(folder);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOTEMPTY') return true; // built again already
    if (codeOf(error) === 'LOCK_HELD') return false;
    throw error;
  }
}
