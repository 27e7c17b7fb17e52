import { listBuilt, removeBuilt } from '../agent/environments/built-folders.ts';
import { UNUSED_MS } from '../agent/environments/environment-keeper.ts';
import { chooseUnused, keptHashes } from '../agent/environments/unused.ts';
import type { StatePaths } from '../config/paths.ts';
import { folderSizeBytes } from '../lib/files.ts';
import { specsInForce, specsRecorded } from '../roles/specs-on-disk.ts';
import { renderEnvironments, type SizedFolder, sizeText } from './env-list.ts';
import { ExitCode } from './exit.ts';
import { print, printError } from './output.ts';

export interface PruneOptions {
  readonly allUnused: boolean;
  /** remove, and do not only show */
  readonly yes: boolean;
}

/** `modelserve env prune`: shows what nothing here needs, and removes it where told so. */
export async function pruneEnvironments(paths: StatePaths, options: PruneOptions): Promise<ExitCode> {
  const needed = [...(await specsInForce(paths)), ...(await specsRecorded(paths))];
  const rules = {
    keep: keptHashes(needed.map((spec) => spec.package.hash)),
    olderThanMs: options.allUnused ? 0 : UNUSED_MS,
    most: null,
  };
  const built = [...(await listBuilt(paths.environments)), ...(await listBuilt(paths.stage))];
  const unused: SizedFolder[] = [];
  for (const one of chooseUnused(built, rules, Date.now())) {
    unused.push({ ...one, sizeBytes: await folderSizeBytes(one.folder) });
  }
  if (unused.length === 0) {
    const how = options.allUnused ? '' : '; with --all-unused those used in the last 30 days count, too';
    print(`nothing to remove${how}`);
    return ExitCode.done;
  }
  print(renderEnvironments(unused));
  const size = sizeText(unused.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
  if (!options.yes) {
    print(`\n${size} in all; nothing was removed: add --yes for that`);
    return ExitCode.done;
  }
  return await remove(unused, size);
}

async function remove(unused: readonly SizedFolder[], size: string): Promise<ExitCode> {
  let isComplete = true;
  for (const { key, folder } of unused) {
    if (await removeBuilt(folder)) continue;
    isComplete = false;
    printError(`${key} is in use by another process: left as it is`);
  }
  if (isComplete) print(`\nremoved, ${size} in all`);
  return isComplete ? ExitCode.done : ExitCode.failed;
}
