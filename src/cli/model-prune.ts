import type { StatePaths } from '../config/paths.ts';
import { cacheOf, type ListedModel, listModels } from '../roles/model-catalog.ts';
import { sizeText } from './env-list.ts';
import { ExitCode } from './exit.ts';
import { renderModels } from './model-list.ts';
import { print } from './output.ts';

export interface ModelPruneOptions {
  readonly all: boolean;
  /** show, and remove nothing */
  readonly dryRun: boolean;
}

/** Without --all what was used within this time stays: it may have been fetched ahead. */
const GRACE_MS = 24 * 3_600_000;

/** `modelserve model prune`: removes what nothing here needs. */
export async function pruneModels(paths: StatePaths, options: ModelPruneOptions): Promise<ExitCode> {
  const { cache } = cacheOf(paths);
  const listed = await listModels(paths, cache);
  const evictable = new Set(await cache.evictable(listed.map(({ entry }) => entry)));
  const unused = listed.filter((one) => evictable.has(one.entry) && isUnused(one, options));
  if (unused.length === 0) {
    const how = options.all
      ? ''
      : '; with --all what was used today, or only earlier revisions name, goes, too';
    print(`nothing to remove${how}`);
    return ExitCode.done;
  }
  print(renderModels(unused.map(({ status }) => status)));
  const size = sizeText(unused.reduce((sum, { entry }) => sum + entry.sizeBytes, 0));
  if (options.dryRun) {
    print(`\n${size} in all; nothing was removed: leave --dry-run out for that`);
    return ExitCode.done;
  }
  await cache.evictViews();
  for (const { entry } of unused) await cache.evict(entry);
  print(`\nremoved, ${size} in all`);
  return ExitCode.done;
}

function isUnused({ entry, status }: ListedModel, { all }: ModelPruneOptions): boolean {
  if (all) return true;
  return !status.is_recorded && entry.usedAtMs < Date.now() - GRACE_MS;
}
