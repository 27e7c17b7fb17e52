import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFetch } from '../cluster/status/types.ts';
import type { Variables } from '../config/environment.ts';
import { type FileUri, isImageUri, publicUri, readModelUri } from '../config/model-uri.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../lib/content/content-store.ts';
import { contentHash, totalBytesOf } from '../lib/content/manifest.ts';
import { diskRoom, type Room } from '../lib/content/room.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { sha256 } from '../lib/hash.ts';
import type { Log } from '../lib/log.ts';
import { lockFile } from '../lib/process/lock-file.ts';
import { SharedWork } from '../lib/shared-work.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import { unpackArchive } from './archives/unpack-archive.ts';
import { readSourceRecord, sourceRecordPath, writePartNote, writeSourceRecord } from './fetch-notes.ts';
import { inRoom } from './in-room.ts';
import { ImageModels } from './oci/image-models.ts';
import { ModelError, type ReadModel } from './pins.ts';
import { RemoteDraft } from './remote-draft.ts';
import { listRemote, type RemoteListing } from './remote-listing.ts';
import { Dragonfly } from './sources/dragonfly/dragonfly.ts';
import { Exchange, type ExchangeOptions } from './sources/exchange.ts';
import { openSource } from './sources/open-source.ts';
import type { ModelSource } from './sources/types.ts';
import { type Listings, listingId, unstreamable } from './streaming/listings.ts';
import type { ModelStreams } from './streaming/model-streams.ts';

export interface RemoteModelsOptions {
  /** where credentials are looked for */
  readonly variables: Variables;
  /** where models grow */
  readonly partialDir: string;
  /** where it is remembered what a server's files turned out to be */
  readonly digestsDir: string;
  readonly exchange?: ExchangeOptions;
}

export interface RemoteModelsDependencies {
  readonly store: ContentStore;
  /** without one the disk has to have what is needed, and more */
  readonly room?: Room;
  /** what is pinned by its listing, and fetched later; without them everything is fetched at once */
  readonly streaming?: {
    readonly listings: Listings;
    readonly streams: Pick<ModelStreams, 'find' | 'running'>;
  };
  readonly log: Log;
}

export interface ObtainOptions {
  /** look, and fetch nothing: of what has changed on the server the hash is one of its listing */
  readonly isDryRun: boolean;
  /** pin by the listing what has not come yet, where it can come while it is loaded */
  readonly isStreamed?: boolean;
  /** ends the waiting; until it comes, what was given stays on this machine */
  readonly signal: AbortSignal;
}

/** Enough to fill a fast line, and few enough that a small server stands it. */
const REQUESTS_AT_ONCE = 8;

/** What is to stay free on the disk where nothing else says so. */
const SPARE_BYTES = 1024 ** 3;

/** Models that URIs name: fetched once, kept by hash, and not fetched again while the server has the same. */
export class RemoteModels {
  readonly #options: RemoteModelsOptions;
  readonly #dependencies: RemoteModelsDependencies;
  readonly #exchange: Exchange;
  readonly #dragonfly: Dragonfly;
  readonly #room: Room;
  readonly #images: ImageModels;
  readonly #fetches = new SharedWork<StoredContent>();
  readonly #running = new Map<string, { -readonly [Field in keyof ModelFetch]: ModelFetch[Field] }>();

  constructor(options: RemoteModelsOptions, dependencies: RemoteModelsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#exchange = new Exchange(options.variables, options.exchange);
    this.#dragonfly = new Dragonfly({ ...options, log: dependencies.log });
    this.#room = dependencies.room ?? diskRoom(SPARE_BYTES);
    const shared = { exchange: this.#exchange, room: this.#room };
    this.#images = new ImageModels(options, { ...dependencies, ...shared });
  }

  /** What is being fetched at the moment. */
  get running(): readonly ModelFetch[] {
    const streamed = this.#dependencies.streaming?.streams.running ?? [];
    const whole = [...this.#running.values()].map((fetch) => ({ ...fetch }));
    return [...whole, ...this.#images.running, ...streamed];
  }

  /** Ends all fetches; what has come stays for the next time. Idempotent. */
  async stop(): Promise<void> {
    // What is cancelled notes how far it has come.
    await Promise.all([this.#fetches.stop(), this.#images.stop()]);
    await Promise.all([this.#exchange.close(), this.#dragonfly.close()]);
  }

  /**
   * The model that a URI names, as the server has it now.
   * @throws ModelError, SourceError: the message names the URI without its query; the signal's reason
   */
  async obtain(text: string, options: ObtainOptions): Promise<ReadModel> {
    const reading = readModelUri(text);
    if (!reading.ok) throw new ModelError(reading.hint, { code: 'MODEL_UNUSABLE', model: publicUri(text) });
    const { uri } = reading;
    if (!isImageUri(uri)) return await this.#obtainFiles(uri, options);
    const image = await this.#images.obtain(uri, options);
    return options.isStreamed === true ? { ...image, unstreamed: 'it is unpacked from an image' } : image;
  }

  async #obtainFiles(uri: FileUri, options: ObtainOptions): Promise<ReadModel> {
    const { signal } = options;
    const source = await openSource(uri, this.#options.variables, this.#exchange, this.#dragonfly);
    const listing = await listRemote(uri, source, signal);
    const id = listing.fingerprint === null ? null : listingId(uri, listing.fingerprint);
    const isByListing = options.isStreamed === true && id !== null && !uri.isArchive;
    const listed = isByListing ? { listing: id } : {};
    const known = await this.#known(uri, listing);
    if (known !== null) return this.#held(uri, known, { listed, signal });
    const unstreamed = uri.isArchive ? 'it is unpacked from an archive' : unstreamable(listing);
    if (isByListing && unstreamed === null) {
      if (!options.isDryRun) await this.#pin(id, uri, listing);
      const pin = { name: uri.localName, sizeBytes: listing.totalBytes ?? 0, sha256: null, listing: id };
      return { pin, content: { hash: id, root: '', files: [] } };
    }
    const isTold = options.isStreamed === true ? { unstreamed } : {};
    if (options.isDryRun) return { ...announced(uri, listing), ...isTold };
    const fetched = await this.#fetched(uri, { source, listing, id }, signal);
    return { ...this.#held(uri, fetched, { listed, signal }), ...isTold };
  }

  #held(
    uri: FileUri,
    content: StoredContent,
    { listed, signal }: { readonly listed: { readonly listing?: string }; readonly signal: AbortSignal },
  ): ReadModel {
    this.#room.hold(content.hash, signal);
    const sizeBytes = totalBytesOf(content.files);
    return { pin: { name: uri.localName, sizeBytes, sha256: content.hash, ...listed }, content };
  }

  /** Fetches it, or waits for its end where it comes already because somebody loads it. */
  async #fetched(
    uri: FileUri,
    { source, listing, id }: { source: ModelSource; listing: RemoteListing; id: string | null },
    signal: AbortSignal,
  ): Promise<StoredContent> {
    const coming = id === null ? null : (this.#dependencies.streaming?.streams.find(id) ?? null);
    if (coming?.isInMemory === false) return await unlessAborted(coming.whole, signal);
    const fetched = await this.#fetches.join(
      uri.text,
      async (progress) => await this.#fetch(uri, { source, listing }, progress.signal),
      { onProgress: () => undefined, signal },
    );
    signal.throwIfAborted();
    if (fetched === null) throw stopped(uri);
    return fetched;
  }

  /** Writes down what a revision is to be pinned by, unless that is known. */
  async #pin(id: string, uri: FileUri, { files }: RemoteListing): Promise<void> {
    const listings = this.#dependencies.streaming?.listings;
    if ((await listings?.read(id)) === null)
      await listings?.write(id, { uri: uri.text, files, content: null });
  }

  async #known(uri: FileUri, { fingerprint }: RemoteListing): Promise<StoredContent | null> {
    if (fingerprint === null) return null;
    const { store, streaming } = this.#dependencies;
    const record = await readSourceRecord(this.#recordPath(uri));
    const fetched = record?.fingerprint === fingerprint ? record.content : null;
    const content = fetched ?? (await streaming?.listings.read(listingId(uri, fingerprint)))?.content ?? null;
    const found = content === null ? null : await store.find(content);
    if (found !== null) await store.touch(found.hash);
    return found;
  }

  /** Files that are replaced meanwhile are fetched from the start once more; a second time it is somebody's fault. */
  async #fetch(
    uri: FileUri,
    { source, listing }: { readonly source: ModelSource; readonly listing: RemoteListing },
    signal: AbortSignal,
  ): Promise<StoredContent> {
    // `modelserve check` of the same user fetches into the same folder.
    const release = await lockFile(`${this.#recordPath(uri)}.lock`, {
      ...{ timeoutMs: Number.POSITIVE_INFINITY, signal },
    });
    try {
      const fetchedMeanwhile = await this.#known(uri, listing);
      if (fetchedMeanwhile !== null) return fetchedMeanwhile;
      try {
        return await this.#fetchOnce(uri, { source, listing }, signal);
      } catch (error) {
        if (codeOf(error) !== 'SOURCE_CHANGED') throw error;
        this.#dependencies.log.info(
          { model: publicUri(uri.text) },
          'replaced while it was fetched: once more',
        );
        const fresh = await listRemote(uri, source, signal);
        return await this.#fetchOnce(uri, { source, listing: fresh }, signal);
      }
    } finally {
      this.#running.delete(uri.text);
      await release();
    }
  }

  async #fetchOnce(
    uri: FileUri,
    { source, listing }: { readonly source: ModelSource; readonly listing: RemoteListing },
    signal: AbortSignal,
  ): Promise<StoredContent> {
    const { store, log } = this.#dependencies;
    const beganMs = performance.now();
    const folder = join(this.#options.partialDir, sha256(uri.text));
    const draft = await RemoteDraft.open(folder, listing);
    const model = publicUri(uri.text);
    const { totalBytes } = listing;
    let content: StoredContent;
    try {
      await inRoom(this.#room, model, { folder, totalBytes: totalBytes ?? 0 }, async () => {
        try {
          await writePartNote(folder, { model, totalBytes });
          await this.#fill(uri, { source, draft, totalBytes }, signal);
        } finally {
          await draft.note().catch(() => undefined); // the disk may be full
        }
      });
      content = uri.isArchive ? await this.#unpack(uri, draft, folder) : await keep(draft, store);
    } finally {
      draft.close();
    }
    if (listing.fingerprint !== null) {
      const { fingerprint } = listing;
      const record = { fingerprint, content: content.hash, model };
      await writeSourceRecord(this.#recordPath(uri), record);
    }
    const tookMs = Math.round(performance.now() - beganMs);
    const sizeBytes = totalBytesOf(content.files);
    log.info({ model, hash: content.hash, sizeBytes, tookMs }, 'model fetched');
    return content;
  }

  /** What an archive holds; itself it goes. */
  async #unpack(uri: FileUri, draft: RemoteDraft, folder: string): Promise<StoredContent> {
    const { store } = this.#dependencies;
    const model = publicUri(uri.text);
    const unpacked = join(folder, 'unpacked');
    const searchPath = this.#options.variables['PATH'] ?? '';
    const options = { model, name: uri.localName, folder: unpacked, searchPath };
    // At least as much as it has itself: how much it holds it does not say.
    const { size: totalBytes } = await stat(draft.singlePath);
    const unpack = async () => await unpackArchive(draft.singlePath, options, store);
    const content = await inRoom(this.#room, model, { folder: unpacked, totalBytes }, unpack);
    await draft.discard();
    await store.touch(content.hash);
    return content;
  }

  async #fill(
    uri: FileUri,
    {
      source,
      draft,
      totalBytes,
    }: {
      readonly source: ModelSource;
      readonly draft: RemoteDraft;
      readonly totalBytes: number | null;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const heldBytes = draft.heldBytes;
    const tally = { model: publicUri(uri.text), fetchedBytes: heldBytes, totalBytes, bytesPerSecond: 0 };
    this.#running.set(uri.text, tally);
    const beganMs = performance.now();
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const onBytes = (count: number): void => {
      tally.fetchedBytes += count;
      const seconds = (performance.now() - beganMs) / 1000;
      tally.bytesPerSecond = Math.round((tally.fetchedBytes - heldBytes) / seconds);
    };
    const missing = draft.chunks.filter((chunk) => !draft.has(chunk));
    await mapConcurrently(missing, REQUESTS_AT_ONCE, async (chunk) => {
      try {
        await draft.fill(chunk, async (target) =>
          source.readInto(chunk.file, chunk.range, target, { signal: either, onBytes }),
        );
      } catch (error) {
        failed.abort(error); // the others need not end what nobody gets
        throw error;
      }
    });
  }

  #recordPath(uri: FileUri): string {
    return sourceRecordPath(this.#options.digestsDir, uri.text);
  }
}

/** Puts what has come where models are kept, by its hash. */
async function keep(draft: RemoteDraft, store: ContentStore): Promise<StoredContent> {
  const files = await draft.digest();
  const hash = contentHash(files);
  const target = store.pathOf(hash);
  const known = await store.find(hash);
  if (known?.root === target) {
    await draft.discard();
    await store.touch(hash);
    return known;
  }
  await draft.finish(target);
  return await store.add({ hash, root: target, files });
}

/** For a plan: what would be fetched, under a hash of its own. */
function announced(uri: FileUri, listing: RemoteListing): ReadModel {
  const hash = listing.fingerprint ?? sha256(`unknown until it is fetched: ${uri.text}`);
  return {
    pin: { name: uri.localName, sizeBytes: listing.totalBytes ?? 0, sha256: hash },
    content: { hash, root: '', files: [] },
  };
}

function stopped(uri: FileUri): ServeError {
  return new ServeError(`${publicUri(uri.text)}: the head stops; apply again, and the fetch goes on`, {
    code: 'STOPPED',
  });
}
