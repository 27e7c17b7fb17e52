import { join } from 'node:path';
import { type CacheEntry, ModelCache } from '../agent/content/model-cache.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import type { ModelStatus } from '../cluster/status/models-document.ts';
import { publicUri } from '../config/model-uri.ts';
import type { StatePaths } from '../config/paths.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import { ContentStore } from '../lib/content/content-store.ts';
import { isHash, type Manifest, totalBytesOf } from '../lib/content/manifest.ts';
import { readIfThere } from '../lib/files.ts';
import { silentLog } from '../lib/log.ts';
import { readFetchedNames, readPartNote } from '../models/fetch-notes.ts';
import { Listings } from '../models/streaming/listings.ts';
import { specsInForce, specsRecorded } from './specs-on-disk.ts';

/** What is to stay free on the disk when a command fetches. */
const SPARE_BYTES = 1024 ** 3;
const SPECS_AT_ONCE = 8;

/** The models of a state directory, for commands: whether or not its node runs. */
export function cacheOf(paths: StatePaths): { readonly store: ContentStore; readonly cache: ModelCache } {
  const store = new ContentStore({ recordsDir: paths.contents, filesDir: paths.models });
  const cache = new ModelCache(
    { paths, limitBytes: null, spareBytes: SPARE_BYTES },
    {
      ...{ store, listings: new Listings(paths.listings), log: silentLog },
      needed: async () => await specsInForce(paths),
    },
  );
  return { store, cache };
}

/** A model with the entry of the cache that it is about. */
export interface ListedModel {
  readonly entry: CacheEntry;
  readonly status: ModelStatus;
}

/** What a state directory has of models, longest unused last, and who names it. */
export async function listModels(paths: StatePaths, cache: ModelCache): Promise<readonly ListedModel[]> {
  const listings = new Listings(paths.listings);
  const inForce = await withHashes(await specsInForce(paths), listings);
  const recorded = await withHashes(await specsRecorded(paths), listings);
  const names = namesByHash([...inForce, ...recorded]);
  for (const { model, hash } of await readFetchedNames(paths.digests)) addTo(names, hash, model);
  const listed: ListedModel[] = [];
  for (const entry of await cache.entries()) {
    const about = entry.isWhole
      ? { hash: entry.name, totalBytes: entry.sizeBytes, name: null }
      : await aboutPart(paths, entry.name);
    const { hash, name, totalBytes } = about;
    if (!entry.isWhole && hash !== null && !names.has(hash)) continue; // a package on its way
    const isNamed = (one: HashedSpec): boolean => one.hashes.some((named) => named === hash);
    const status: ModelStatus = {
      ...{ hash, is_whole: entry.isWhole, size_bytes: entry.sizeBytes, total_bytes: totalBytes },
      names: name === null ? [...(names.get(hash ?? '') ?? [])].sort() : [name],
      last_used: new Date(entry.usedAtMs).toISOString(),
      used_by: [...new Set(inForce.filter(isNamed).map(({ spec }) => spec.name))].sort(),
      is_recorded: recorded.some(isNamed),
    };
    listed.push({ entry, status });
  }
  return listed.reverse();
}

interface HashedSpec {
  readonly spec: PinnedSpec;
  /** of its models, in their order; the listing of one that has not come */
  readonly hashes: readonly string[];
}

async function withHashes(specs: readonly PinnedSpec[], listings: Listings): Promise<readonly HashedSpec[]> {
  return await mapConcurrently(specs, SPECS_AT_ONCE, async (spec) => {
    const hashes = spec.modelPins.map(async (pin) =>
      pin.sha256 === null ? ((await listings.read(pin.listing))?.content ?? pin.listing) : pin.sha256,
    );
    return { spec, hashes: await Promise.all(hashes) };
  });
}

function namesByHash(specs: readonly HashedSpec[]): Map<string, Set<string>> {
  const names = new Map<string, Set<string>>();
  for (const { spec, hashes } of specs) {
    for (const [index, hash] of hashes.entries()) {
      addTo(names, hash, publicUri(spec.models[index] ?? spec.modelPins[index]?.name ?? ''));
    }
  }
  return names;
}

function addTo(names: Map<string, Set<string>>, hash: string, name: string): void {
  names.set(hash, (names.get(hash) ?? new Set()).add(name));
}

/** What a folder that grows is going to be: from another node it comes by its hash, from a server by its URI. */
async function aboutPart(
  paths: StatePaths,
  folder: string,
): Promise<{
  readonly hash: string | null;
  readonly name: string | null;
  readonly totalBytes: number | null;
}> {
  const path = join(paths.partial, folder);
  const note = await readPartNote(path);
  if (note !== null) return { hash: null, name: note.model, totalBytes: note.totalBytes };
  const progress = await readIfThere(join(path, 'progress.json'));
  const hash = isHash(folder) ? folder : null;
  try {
    const { files } = JSON.parse(progress ?? '{}') as { readonly files?: Manifest };
    return { hash, name: null, totalBytes: files === undefined ? null : totalBytesOf(files) };
  } catch {
    return { hash, name: null, totalBytes: null };
  }
}
