import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { sizeText } from '../cluster/placement/amounts.ts';
import type { ModelFetch } from '../cluster/status/types.ts';
import type { Variables } from '../config/environment.ts';
import { type ModelUri, publicUri, readModelUri } from '../config/model-uri.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../lib/content/content-store.ts';
import { folderHash, type Manifest, totalBytesOf } from '../lib/content/manifest.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import { sha256 } from '../lib/hash.ts';
import type { Log } from '../lib/log.ts';
import { lockFile } from '../lib/process/lock-file.ts';
import { SharedWork } from '../lib/shared-work.ts';
import { ModelError, type ReadModel } from './pins.ts';
import { RemoteDraft } from './remote-draft.ts';
import { listRemote, type RemoteListing } from './remote-listing.ts';
import { Exchange, type ExchangeOptions } from './sources/exchange.ts';
import { openSource } from './sources/open-source.ts';
import type { ModelSource } from './sources/types.ts';

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
  readonly log: Log;
}

export interface ObtainOptions {
  /** look, and fetch nothing: of what has changed on the server the hash is one of its listing */
  readonly isDryRun: boolean;
  readonly signal: AbortSignal;
}

/** What a URI's files looked like on the server when they were fetched, and what they are. */
interface SourceRecord {
  readonly fingerprint: string;
  readonly content: string;
}

/** Enough to fill a fast line, and few enough that a small server stands it. */
const REQUESTS_AT_ONCE = 8;
/** What is to stay free on the disk. */
const SPARE_BYTES = 1024 ** 3;

/** Models that URIs name: fetched once, kept by hash, and not fetched again while the server has the same. */
export class RemoteModels {
  readonly #options: RemoteModelsOptions;
  readonly #dependencies: RemoteModelsDependencies;
  readonly #exchange: Exchange;
  readonly #fetches = new SharedWork<StoredContent>();
  readonly #running = new Map<string, { -readonly [Field in keyof ModelFetch]: ModelFetch[Field] }>();

  constructor(options: RemoteModelsOptions, dependencies: RemoteModelsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#exchange = new Exchange(options.exchange);
  }

  /** What is being fetched at the moment. */
  get running(): readonly ModelFetch[] {
    return [...this.#running.values()].map((fetch) => ({ ...fetch }));
  }

  /** Ends all fetches; what has come stays for the next time. Idempotent. */
  async stop(): Promise<void> {
    this.#fetches.stop();
    await this.#exchange.close();
  }

  /**
   * The model that a URI names, as the server has it now.
   * @throws ModelError, SourceError: the message names the URI without its query; the signal's reason
   */
  async obtain(text: string, { isDryRun, signal }: ObtainOptions): Promise<ReadModel> {
    const reading = readModelUri(text);
    if (!reading.ok) throw new ModelError(reading.hint, { code: 'MODEL_UNUSABLE', model: publicUri(text) });
    const { uri } = reading;
    const source = await openSource(uri, this.#options.variables, this.#exchange);
    const listing = await listRemote(uri, source, signal);
    const known = await this.#known(uri, listing);
    if (known !== null) return asModel(uri, known);
    if (isDryRun) return announced(uri, listing);
    const fetched = await this.#fetches.join(
      text,
      async (progress) => await this.#fetch(uri, { source, listing }, progress.signal),
      { onProgress: () => undefined, signal },
    );
    signal.throwIfAborted();
    if (fetched === null) throw stopped(uri);
    return asModel(uri, fetched);
  }

  async #known(uri: ModelUri, { fingerprint }: RemoteListing): Promise<StoredContent | null> {
    const record = parsed(await readIfThere(this.#recordPath(uri)));
    if (fingerprint === null || record?.fingerprint !== fingerprint) return null;
    const { store } = this.#dependencies;
    const found = await store.find(record.content);
    if (found !== null) await store.touch(found.hash);
    return found;
  }

  /** Files that are replaced meanwhile are fetched from the start once more; a second time it is somebody's fault. */
  async #fetch(
    uri: ModelUri,
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
    uri: ModelUri,
    { source, listing }: { readonly source: ModelSource; readonly listing: RemoteListing },
    signal: AbortSignal,
  ): Promise<StoredContent> {
    const { store, log } = this.#dependencies;
    const beganMs = performance.now();
    const draft = await RemoteDraft.open(join(this.#options.partialDir, sha256(uri.text)), listing);
    try {
      await this.#checkRoom(uri, listing, draft.heldBytes);
      await this.#fill(uri, { source, draft, totalBytes: listing.totalBytes }, signal);
    } catch (error) {
      await draft.note().catch(() => undefined);
      throw isFull(error) ? noRoom(uri, null) : error;
    }
    const content = await keep(draft, store);
    if (listing.fingerprint !== null) {
      const record: SourceRecord = { fingerprint: listing.fingerprint, content: content.hash };
      await writeDurably(this.#recordPath(uri), JSON.stringify(record));
    }
    const tookMs = Math.round(performance.now() - beganMs);
    const sizeBytes = totalBytesOf(content.files);
    log.info({ model: publicUri(uri.text), hash: content.hash, sizeBytes, tookMs }, 'model fetched');
    return content;
  }

  async #fill(
    uri: ModelUri,
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
    const missing = draft.chunks.filter((chunk) => !draft.has(chunk));
    await mapConcurrently(missing, REQUESTS_AT_ONCE, async (chunk) => {
      try {
        await draft.fill(chunk, (write) =>
          source.read(
            chunk.file,
            chunk.range,
            async (bytes, position) => {
              await write(bytes, position);
              tally.fetchedBytes += bytes.length;
              const seconds = (performance.now() - beganMs) / 1000;
              tally.bytesPerSecond = Math.round((tally.fetchedBytes - heldBytes) / seconds);
            },
            either,
          ),
        );
      } catch (error) {
        failed.abort(error); // the others need not end what nobody gets
        throw error;
      }
    });
  }

  async #checkRoom(uri: ModelUri, { totalBytes }: RemoteListing, heldBytes: number): Promise<void> {
    const { partialDir } = this.#options;
    await mkdir(partialDir, { recursive: true });
    const { bavail, bsize } = await statfs(partialDir);
    const neededBytes = (totalBytes ?? 0) - heldBytes + SPARE_BYTES;
    if (bavail * bsize < neededBytes) throw noRoom(uri, { neededBytes, freeBytes: bavail * bsize });
  }

  #recordPath(uri: ModelUri): string {
    return join(this.#options.digestsDir, `${sha256(uri.text)}.source.json`);
  }
}

/** Hashes what has come and puts it where models are kept. */
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

function contentHash(files: Manifest): string {
  const [first] = files;
  return files.length === 1 && first?.path === '' ? first.sha256 : folderHash(files);
}

function asModel(uri: ModelUri, content: StoredContent): ReadModel {
  const sizeBytes = totalBytesOf(content.files);
  return { pin: { name: uri.localName, sizeBytes, sha256: content.hash }, content };
}

/** For a plan: what would be fetched, under a hash of its own. */
function announced(uri: ModelUri, listing: RemoteListing): ReadModel {
  const hash = listing.fingerprint ?? sha256(`unknown until it is fetched: ${uri.text}`);
  return {
    pin: { name: uri.localName, sizeBytes: listing.totalBytes ?? 0, sha256: hash },
    content: { hash, root: '', files: [] },
  };
}

function parsed(text: string | null): SourceRecord | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as SourceRecord;
  } catch {
    return null; // half a record is none: it is fetched again
  }
}

function isFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';
}

function noRoom(
  uri: ModelUri,
  room: { readonly neededBytes: number; readonly freeBytes: number } | null,
): ModelError {
  const model = publicUri(uri.text);
  const sizes =
    room === null ? '' : ` (${sizeText(room.neededBytes)} are needed, ${sizeText(room.freeBytes)} are free)`;
  return new ModelError(
    `${model}: the disk of the state directory is too full for it${sizes}; make room, and apply again`,
    { code: 'MODEL_NO_ROOM', model },
  );
}

function stopped(uri: ModelUri): ServeError {
  return new ServeError(`${publicUri(uri.text)}: the head stops; apply again, and the fetch goes on`, {
    code: 'STOPPED',
  });
}
