import { join } from 'node:path';
import type { ModelFetch } from '../../cluster/status/types.ts';
import type { Variables } from '../../config/environment.ts';
import {
  type ImageReference,
  imageName,
  isAlwaysPulled,
  readImageReference,
} from '../../config/image-reference.ts';
import type { ImageUri } from '../../config/model-uri.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { totalBytesOf } from '../../lib/content/manifest.ts';
import type { Room } from '../../lib/content/room.ts';
import { codeOf, messageOf, ServeError } from '../../lib/errors.ts';
import { folderSizeBytes } from '../../lib/files.ts';
import { sha256 } from '../../lib/hash.ts';
import type { Log } from '../../lib/log.ts';
import { lockFile, type ReleaseLock } from '../../lib/process/lock-file.ts';
import { SharedWork } from '../../lib/shared-work.ts';
import { writePartNote } from '../fetch-notes.ts';
import { inRoom } from '../in-room.ts';
import { ModelError, type ReadModel } from '../pins.ts';
import type { Exchange } from '../sources/exchange.ts';
import { ImageFetch } from './image-fetch.ts';
import { ImageRecords } from './image-records.ts';
import type { Descriptor } from './manifest.ts';
import { imageFor } from './platform-image.ts';
import { type FoundManifest, Registry } from './registry.ts';
import { registryOrigin } from './registry-origin.ts';

export interface ImageModelsOptions {
  /** where credentials are looked for, and the folders of programs (`PATH`) */
  readonly variables: Variables;
  /** where models grow */
  readonly partialDir: string;
  /** where it is remembered what images turned out to be */
  readonly digestsDir: string;
}

export interface ImageModelsDependencies {
  readonly store: ContentStore;
  readonly exchange: Exchange;
  readonly room: Room;
  readonly log: Log;
}

/** An image as the registry has it now. */
interface Resolved {
  readonly registry: Registry;
  readonly digest: string;
  readonly layers: readonly Descriptor[];
  readonly totalBytes: number;
}

/**
 * Models that are images in registries: fetched once, kept by the hash of their files. The registry is asked for what is
 * not here, and for `latest`; a digest is never asked for twice.
 */
export class ImageModels {
  readonly #options: ImageModelsOptions;
  readonly #dependencies: ImageModelsDependencies;
  readonly #records: ImageRecords;
  readonly #fetches = new SharedWork<StoredContent>();
  readonly #running = new Map<string, { -readonly [Field in keyof ModelFetch]: ModelFetch[Field] }>();

  constructor(options: ImageModelsOptions, dependencies: ImageModelsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#records = new ImageRecords(options.digestsDir);
  }

  /** What is being fetched at the moment. */
  get running(): readonly ModelFetch[] {
    return [...this.#running.values()].map((fetch) => ({ ...fetch }));
  }

  /** Ends all fetches; complete layers stay for the next time. Idempotent. */
  async stop(): Promise<void> {
    await this.#fetches.stop();
  }

  /**
   * The model in an image.
   * @throws ModelError, SourceError; the signal's reason
   */
  async obtain(
    uri: ImageUri,
    { isDryRun, signal }: { readonly isDryRun: boolean; readonly signal: AbortSignal },
  ): Promise<ReadModel> {
    const image = referenceIn(uri);
    const pinned = await this.#pinned(image);
    if (pinned !== null) this.#dependencies.room.hold(pinned.content.hash, signal);
    if (pinned !== null) return pinned;
    const { registry, found } = await this.#ask(image, signal);
    const known = await this.#kept(found.digest);
    const content = known ?? (await this.#fetchUnless(isDryRun, { registry, found }, signal));
    if (!('files' in content)) return announced(image, content);
    if (!isDryRun) await this.#records.rememberDigest(imageName(image), found.digest, content.hash);
    this.#dependencies.room.hold(content.hash, signal);
    return modelOf(image, content, found.digest);
  }

  /** What needs no request: a digest that is here, and a tag that stays what it is. */
  async #pinned(image: ImageReference): Promise<ReadModel | null> {
    if (isAlwaysPulled(image)) return null;
    const digest = image.digest ?? (await this.#records.digestOf(imageName(image)));
    const content = digest === null ? null : await this.#kept(digest);
    return digest === null || content === null ? null : modelOf(image, content, digest);
  }

  async #kept(digest: string): Promise<StoredContent | null> {
    const hash = await this.#records.contentOf(digest);
    const { store } = this.#dependencies;
    const found = hash === null ? null : await store.find(hash);
    if (found !== null) await store.touch(found.hash);
    return found;
  }

  async #ask(
    image: ImageReference,
    signal: AbortSignal,
  ): Promise<{ readonly registry: Registry; readonly found: FoundManifest }> {
    const { variables } = this.#options;
    const origin = registryOrigin(image.registry, variables);
    const { exchange } = this.#dependencies;
    const registry = new Registry({ image, origin, variables, actions: 'pull' }, exchange);
    const found = await registry.manifest(image.digest ?? image.tag ?? 'latest', signal);
    if (found !== null) return { registry, found };
    const model = registry.place;
    const hint = registry.hint === '' ? '' : `; ${registry.hint}`;
    throw new ModelError(`${model}: the registry ${origin} has no such image${hint}`, {
      code: 'MODEL_NOT_FOUND',
      model,
    });
  }

  async #fetchUnless(
    isDryRun: boolean,
    { registry, found }: { readonly registry: Registry; readonly found: FoundManifest },
    signal: AbortSignal,
  ): Promise<StoredContent | Resolved> {
    const resolved = await resolve(registry, found, signal);
    if (isDryRun) return resolved;
    const content = await this.#fetches.join(
      found.digest,
      async (progress) => await this.#fetch(resolved, progress.signal),
      { onProgress: () => undefined, signal },
    );
    signal.throwIfAborted();
    if (content !== null) return content;
    throw new ServeError(`${registry.place}: the head stops; apply again, and the fetch goes on`, {
      code: 'STOPPED',
    });
  }

  /** Images that share a layer are fetched one after the other: the second finds it with the first. */
  async #fetch(resolved: Resolved, signal: AbortSignal): Promise<StoredContent> {
    const digests = [...new Set(resolved.layers.map(({ digest }) => digest))].sort(); // in one order: nobody waits in a circle
    const locks: ReleaseLock[] = [];
    try {
      for (const digest of digests) {
        const how = { timeoutMs: Number.POSITIVE_INFINITY, signal };
        locks.push(await lockFile(this.#records.lockPath(digest), how));
      }
      return (await this.#kept(resolved.digest)) ?? (await this.#fetchLocked(resolved, signal));
    } catch (error) {
      throw explained(resolved.registry.place, error);
    } finally {
      this.#running.delete(resolved.digest);
      for (const release of locks) await release();
    }
  }

  async #fetchLocked({ registry, digest, layers }: Resolved, signal: AbortSignal): Promise<StoredContent> {
    const { partialDir, variables } = this.#options;
    const { store, room, log } = this.#dependencies;
    const beganMs = performance.now();
    const folder = join(partialDir, sha256(`image ${digest}`));
    const fetch = new ImageFetch(
      { digest, layers, folder, searchPath: variables['PATH'] ?? '' },
      { registry, records: this.#records, store },
    );
    const missing = await fetch.prepare();
    const totalBytes = missing.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const heldBytes = await fetch.heldBytes(missing);
    const tally = { model: registry.place, fetchedBytes: 0, totalBytes, bytesPerSecond: 0 };
    const onBytes = (sizeBytes: number): void => {
      tally.fetchedBytes += sizeBytes;
      const seconds = (performance.now() - beganMs) / 1_000;
      tally.bytesPerSecond = Math.round((tally.fetchedBytes - heldBytes) / seconds);
    };
    // Files of other models that are taken as they are need no room, but are counted as what is there.
    const wish = { folder, totalBytes: totalBytes + (await folderSizeBytes(folder)) };
    await inRoom(room, registry.place, wish, async () => {
      await writePartNote(folder, { model: registry.place, totalBytes });
      this.#running.set(digest, Object.assign(tally, { fetchedBytes: heldBytes }));
      await fetch.fetch(await fetch.prepare(), onBytes, signal);
    });
    const content = await fetch.finish();
    const tookMs = Math.round(performance.now() - beganMs);
    log.info(
      { model: registry.place, digest, hash: content.hash, fetchedBytes: totalBytes - heldBytes, tookMs },
      'model fetched',
    );
    return content;
  }
}

function referenceIn(uri: ImageUri): ImageReference {
  const reading = readImageReference(uri.text.replace(/^[^:]*:\/\//, ''));
  if (reading.ok) return reading.image;
  throw new ModelError(`${uri.text}: ${reading.hint}`, { code: 'MODEL_UNUSABLE', model: uri.text });
}

/** The layers of the image for this machine. */
async function resolve(registry: Registry, found: FoundManifest, signal: AbortSignal): Promise<Resolved> {
  const { layers } = await imageFor(registry, found, signal);
  const totalBytes = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { registry, digest: found.digest, layers, totalBytes };
}

function modelOf(image: ImageReference, content: StoredContent, digest: string): ReadModel {
  const sizeBytes = totalBytesOf(content.files);
  return { pin: { name: nameOf(image), sizeBytes, sha256: content.hash, image: digest }, content };
}

/** For a plan: what would be fetched, under the digest of the image. */
function announced(image: ImageReference, { digest, totalBytes }: Resolved): ReadModel {
  const hash = digest.replace(/^sha256:/, '');
  return {
    pin: { name: nameOf(image), sizeBytes: totalBytes, sha256: hash, image: digest },
    content: { hash, root: '', files: [] },
  };
}

function nameOf({ repository }: ImageReference): string {
  return repository.split('/').at(-1) ?? repository;
}

/** What is wrong with an image, with its name in front. */
function explained(place: string, error: unknown): unknown {
  const isOfImage = /^(?:IMAGE_|TAR_|UNPACK_|CONTENT_UNSAFE)/.test(codeOf(error) ?? '');
  if (!isOfImage) return error;
  return new ModelError(
    `${place}: ${messageOf(error)}`,
    { code: 'MODEL_UNUSABLE', model: place },
    { cause: error },
  );
}
