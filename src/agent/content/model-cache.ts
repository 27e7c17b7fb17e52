import { rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { StatePaths } from '../../config/paths.ts';
import type { ContentStore, RecordedContent } from '../../lib/content/content-store.ts';
import { totalBytesOf } from '../../lib/content/manifest.ts';
import {
  freeBytesAt,
  outstandingBytes,
  type Reservation,
  type Room,
  type RoomWish,
  type Shortage,
} from '../../lib/content/room.ts';
import { folderSizeBytes, namesIn } from '../../lib/files.ts';
import type { Log } from '../../lib/log.ts';
import type { Listings } from '../../models/streaming/listings.ts';
import { bytesOf, type DiskUse } from './disk-use.ts';
import { viewKey } from './model-view.ts';

export interface ModelCacheOptions {
  readonly paths: Pick<StatePaths, 'models' | 'views' | 'partial'>;
  /** what models may take here in all; null: as much as the disk has */
  readonly limitBytes: number | null;
  /** what is to stay free on the disk */
  readonly spareBytes: number;
}

export interface ModelCacheDependencies {
  readonly store: ContentStore;
  readonly listings: Listings;
  /** what runs here, and what replicas may be started from: their models stay */
  readonly needed: () => Promise<readonly PinnedSpec[]>;
  readonly log: Log;
}

/** A model whose bytes are kept here, or what has come of one. */
export interface CacheEntry extends DiskUse {
  /** hash of a model; name of the folder where a fetch grows */
  readonly name: string;
  readonly isWhole: boolean;
  /** of all its files, whoever shares them; of a part: what has come */
  readonly sizeBytes: number;
  /** ms since 1970 */
  readonly usedAtMs: number;
}

/** A fetch that nobody has noted anything of for this long was given up; a view younger than this may be in use. */
const ABANDONED_MS = 900_000;

/**
 * The models that a node keeps, within bounds: what was used longest ago makes way for what is to come, and never what a
 * replica, a rollout or a fetch needs.
 */
export class ModelCache implements Room {
  readonly #options: ModelCacheOptions;
  readonly #dependencies: ModelCacheDependencies;
  readonly #held = new Map<string, number>();
  readonly #reserved = new Set<RoomWish>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ModelCacheOptions, dependencies: ModelCacheDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  hold(hash: string, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#held.set(hash, (this.#held.get(hash) ?? 0) + 1);
    const release = (): void => {
      const left = (this.#held.get(hash) ?? 1) - 1;
      if (left === 0) this.#held.delete(hash);
      else this.#held.set(hash, left);
    };
    signal.addEventListener('abort', release, { once: true });
  }

  /** One after the other, so that two do not count on the same room. */
  async reserve(wish: RoomWish): Promise<Reservation> {
    const mine = this.#turn.catch(() => undefined).then(async () => await this.#reserve(wish));
    this.#turn = mine;
    return await mine;
  }

  /** Makes the cache as small as its limit, as far as nothing needs what is in it. */
  async trim(): Promise<void> {
    const reservation = await this.reserve({ folder: join(this.#options.paths.partial, '-'), totalBytes: 0 });
    if (reservation.ok) reservation.release();
  }

  /** What is kept here, longest unused first. */
  async entries(): Promise<readonly CacheEntry[]> {
    const { store } = this.#dependencies;
    const entries: CacheEntry[] = [];
    for (const { hash, usedAtMs } of await store.list()) {
      const content = await store.recorded(hash);
      // Packages have records, too, and models that are used in place; bytes without a record are of an ended process.
      if (content !== null && content.root !== store.pathOf(hash)) continue;
      const sizeBytes = content === null ? await diskBytes(store.pathOf(hash)) : totalBytesOf(content.files);
      const files = content === null ? new Map([[hash, sizeBytes]]) : filesOf(content);
      entries.push({ name: hash, isWhole: true, sizeBytes, files, usedAtMs });
    }
    const { partial } = this.#options.paths;
    for (const name of await namesIn(partial)) {
      const usedAtMs = (await stat(join(partial, name)).catch(() => null))?.mtimeMs ?? 0;
      const sizeBytes = await diskBytes(join(partial, name));
      entries.push({ name, isWhole: false, sizeBytes, files: new Map([[name, sizeBytes]]), usedAtMs });
    }
    return entries.sort((left, right) => left.usedAtMs - right.usedAtMs);
  }

  /** Those of the entries that may go now. */
  async evictable(entries: readonly CacheEntry[]): Promise<readonly CacheEntry[]> {
    const specs = await this.#dependencies.needed();
    const pins = specs.flatMap((spec) => spec.modelPins);
    const kept = new Set([
      ...(await this.#dependencies.listings.contentsOf(pins)),
      ...pins.flatMap((pin) => pin.listing ?? []),
      ...this.#held.keys(),
      ...[...this.#reserved].map(({ folder }) => basename(folder)),
    ]);
    const abandonedMs = Date.now() - ABANDONED_MS;
    return entries.filter(
      ({ name, isWhole, usedAtMs }) => !kept.has(name) && (isWhole || usedAtMs < abandonedMs),
    );
  }

  /** Removes an entry; a process that has its files open keeps what it has. */
  async evict({ name, isWhole }: CacheEntry): Promise<void> {
    if (isWhole) await this.#dependencies.store.remove(name);
    else await rm(join(this.#options.paths.partial, name), { recursive: true, force: true });
  }

  /** Removes folders that show models to nobody: their links keep the bytes of what is evicted. */
  async evictViews(): Promise<void> {
    const { views } = this.#options.paths;
    const specs = await this.#dependencies.needed();
    const kept = new Set(specs.map((spec) => viewKey(spec.modelPins)));
    for (const name of await namesIn(views)) {
      const path = join(views, name);
      const shownAtMs = (await newest(path)) ?? Date.now();
      if (kept.has(name) || shownAtMs >= Date.now() - ABANDONED_MS) continue;
      await rm(path, { recursive: true, force: true });
    }
  }

  async #reserve(wish: RoomWish): Promise<Reservation> {
    let wantedBytes = 0;
    for (const one of [wish, ...this.#reserved]) wantedBytes += await outstandingBytes(one);
    this.#reserved.add(wish);
    const shortage = await this.#makeRoom(wantedBytes);
    if (shortage === null) return { ok: true, release: () => void this.#reserved.delete(wish) };
    this.#reserved.delete(wish);
    return { ok: false, shortage };
  }

  /** Evicts until so much fits; nothing where it never would. */
  async #makeRoom(wantedBytes: number): Promise<Shortage | null> {
    const entries = await this.entries();
    const usedBytes = bytesOf(entries);
    const shortage = await this.#shortage(wantedBytes, usedBytes);
    if (shortage === null) return null;
    const evictable = await this.evictable(entries);
    const inUseBytes = bytesOf(entries.filter((entry) => !evictable.includes(entry)));
    if (shortage.neededBytes - shortage.freeBytes > usedBytes - inUseBytes) {
      return shortage.cache === null ? shortage : { ...shortage, cache: { ...shortage.cache, inUseBytes } };
    }
    await this.evictViews();
    const left = new Set(entries);
    for (const entry of evictable) {
      await this.evict(entry);
      left.delete(entry);
      const { name, sizeBytes } = entry;
      this.#dependencies.log.info({ model: name, sizeBytes }, 'model evicted: room is needed');
      if ((await this.#shortage(wantedBytes, bytesOf([...left]))) === null) return null;
    }
    return await this.#shortage(wantedBytes, bytesOf([...left]));
  }

  async #shortage(wantedBytes: number, usedBytes: number): Promise<Shortage | null> {
    const { limitBytes, spareBytes, paths } = this.#options;
    if (limitBytes !== null && usedBytes + wantedBytes > limitBytes) {
      const cache = { limitBytes, inUseBytes: usedBytes };
      return { neededBytes: wantedBytes, freeBytes: Math.max(0, limitBytes - usedBytes), cache };
    }
    const freeBytes = await freeBytesAt(paths.partial);
    const neededBytes = wantedBytes + spareBytes;
    // Nothing to come needs no room, however full the disk is.
    return wantedBytes === 0 || neededBytes <= freeBytes ? null : { neededBytes, freeBytes, cache: null };
  }
}

/** When a view was last made or used: its inner folder is touched each time. @returns null for none */
async function newest(path: string): Promise<number | null> {
  const [inner] = await namesIn(path);
  const status = await stat(inner === undefined ? path : join(path, inner)).catch(() => null);
  return status?.mtimeMs ?? null;
}

function filesOf({ files, appearances }: RecordedContent): ReadonlyMap<string, number> {
  return new Map(files.map(({ sizeBytes }, index) => [appearances[index] ?? '', sizeBytes]));
}

async function diskBytes(path: string): Promise<number> {
  const status = await stat(path).catch(() => null);
  return status?.isFile() ? status.size : await folderSizeBytes(path);
}
