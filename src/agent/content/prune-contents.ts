import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { StatePaths } from '../../config/paths.ts';
import type { ContentStore } from '../../lib/content/content-store.ts';
import { namesIn } from '../../lib/files.ts';
import { Listings } from '../../models/streaming/listings.ts';
import { pruneSnapshots } from '../../packages/prune.ts';
import { viewKey } from './model-view.ts';

export interface PruneOptions {
  readonly paths: Pick<StatePaths, 'snapshots' | 'views' | 'partial' | 'listings'>;
  /** what may be started here: its packages, models and views stay */
  readonly keep: readonly PinnedSpec[];
  /** what was used within this time stays, too */
  readonly graceMs: number;
  /** the same for models: one may have been fetched ahead */
  readonly modelGraceMs: number;
}

/**
 * Deletes packages, models, views and halves of fetches that nothing needs. A process that has such a file open keeps
 * what it has open.
 * @returns the hashes of packages and models deleted
 */
export async function pruneContents(
  { paths, keep, graceMs, modelGraceMs }: PruneOptions,
  store: ContentStore,
): Promise<readonly string[]> {
  const packages = new Set(keep.map((spec) => spec.package.hash));
  const pins = keep.flatMap((spec) => spec.modelPins);
  const listings = new Set(pins.flatMap((pin) => pin.listing ?? []));
  const models = await new Listings(paths.listings).contentsOf(pins);
  const before = Date.now() - graceMs;
  const deleted: string[] = [];
  for (const { hash, usedAtMs } of await store.list()) {
    if (packages.has(hash) || models.has(hash) || usedAtMs >= before) continue;
    const isModel = (await store.recorded(hash))?.root === store.pathOf(hash);
    if (isModel && usedAtMs >= Date.now() - modelGraceMs) continue;
    await store.remove(hash);
    deleted.push(hash);
  }
  const snapshots = await pruneSnapshots({ snapshotsDir: paths.snapshots, keep: packages, graceMs });
  await pruneFolder(paths.views, new Set(keep.map((spec) => viewKey(spec.modelPins))), before);
  await pruneFolder(paths.partial, new Set([...packages, ...models, ...listings]), before);
  await pruneFolder(paths.listings, new Set([...listings].map((listing) => `${listing}.json`)), before);
  return [...new Set([...deleted, ...snapshots])];
}

async function pruneFolder(folder: string, keep: ReadonlySet<string>, before: number): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (keep.has(name)) continue;
    const path = join(folder, name);
    const status = await stat(path).catch(() => null);
    if (status !== null && status.mtimeMs < before) await rm(path, { recursive: true, force: true });
  }
}
