import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sizeText } from '../../cluster/placement/amounts.ts';
import type { ModelFetch } from '../../cluster/status/types.ts';
import { mapConcurrently } from '../../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { contentHash } from '../../lib/content/manifest.ts';
import type { Room } from '../../lib/content/room.ts';
import { Filler } from '../filling/filler.ts';
import type { Placeholders } from '../preload/barrier-server.ts';
import { finishPlaceholder } from '../preload/placeholder.ts';
import type { ByteRange } from '../sources/types.ts';
import { CHUNK_BYTES, type ComingModel, explained, inOrder, StreamError } from './coming-model.ts';
import { DraftFolder } from './draft-folder.ts';
import type { OpenListing } from './stream-origin.ts';
import { StreamedDigests } from './streamed-digests.ts';

export interface StreamedModelOptions {
  /** where it grows */
  readonly folder: string;
  readonly store: ContentStore;
  readonly room: Room;
  /** requests at once */
  readonly connections: number;
  /** told of each file that lacks bytes */
  readonly placeholders?: Placeholders | undefined;
}

/** What a kill costs at most, beside what is under way: chunks that came within this time. */
const NOTE_AFTER_MS = 200;
const FILES_AT_ONCE = 64;
/** Files up to this size come first: what says how to read the others is among them. */
const SMALL_BYTES = 4 * 1024 ** 2;

/**
 * One model that comes while it is loaded. Its files are there from the start, as placeholders; those that are asked for come
 * first. The first that cannot be had ends all: whoever waits for anything of it is told so, and no placeholder becomes a file.
 */
export class StreamedModel implements ComingModel {
  /** resolves when all of it is here and kept by its hash; rejects with what `failure` says */
  readonly whole: Promise<StoredContent>;
  readonly #listing: OpenListing;
  readonly #options: StreamedModelOptions;
  readonly #draft: DraftFolder;
  readonly #filler: Filler;
  readonly #digests: StreamedDigests;
  readonly #stopping = new AbortController();
  /** files without all their bytes, by path within the model */
  readonly #missing: Map<string, string>;
  readonly #paths: ReadonlyMap<string, string>;
  readonly #filled: Promise<void>;
  #settle: (error?: Error) => void = () => undefined;
  #failure: Error | null = null;
  /** once it is whole */
  #root: string | null = null;
  #noting: NodeJS.Timeout | null = null;

  private constructor(listing: OpenListing, options: StreamedModelOptions, draft: DraftFolder) {
    this.#listing = listing;
    this.#options = options;
    this.#draft = draft;
    this.#filled = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    const filled = draft.files.filter((file) => file.sizeBytes > 0);
    this.#missing = new Map(filled.map((file) => [file.path, file.source]));
    this.#paths = new Map(filled.map((file) => [file.source, file.path]));
    this.#digests = new StreamedDigests(filled, CHUNK_BYTES);
    this.#filler = new Filler(listing.source, {
      ...{ connections: options.connections, chunkBytes: CHUNK_BYTES },
      onChunk: (path, range) => {
        this.#noteSoon();
        this.#digests.add(path, range);
      },
      onFile: async (path, error) => await this.#fileEnded(path, error),
    });
    this.whole = this.#keepWhenFull();
    this.whole.catch((error: Error) => this.#fail(error)).finally(() => this.#digests.close());
    const remote = new Map(listing.files.map((one) => [one.path, one.file]));
    this.#filler.add(
      inOrder(filled, SMALL_BYTES).flatMap(({ path, source, held }) => {
        const file = remote.get(path);
        return file === undefined ? [] : [{ remote: file, path: source, held }];
      }),
    );
    if (filled.length === 0) this.#settle();
  }

  /**
   * Makes the placeholders, or finds those of an earlier run, and begins to fetch.
   * @throws StreamError STREAM_NO_ROOM
   */
  static async open(listing: OpenListing, options: StreamedModelOptions): Promise<StreamedModel> {
    await mkdir(dirname(options.folder), { recursive: true });
    const draft = await DraftFolder.open(options.folder, listing.files, CHUNK_BYTES);
    const totalBytes = draft.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const release = await reserve(listing.model, options, totalBytes);
    for (const { source, sizeBytes } of draft.files) {
      if (sizeBytes > 0) await options.placeholders?.protect(source);
    }
    const model = new StreamedModel(listing, options, draft);
    void model.whole.then(release, release);
    return model;
  }

  /** Once it is, it is a model like any other, and this is let go of. */
  readonly isWhole = false;
  readonly isInMemory = false;

  get root(): string {
    return this.#root ?? this.#draft.root;
  }

  get files(): readonly { readonly path: string; readonly sizeBytes: number }[] {
    return this.#draft.files;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  get progress(): ModelFetch {
    return { model: this.#listing.model, ...this.#filler.progress };
  }

  async whenFile(path: string, signal: AbortSignal): Promise<void> {
    const source = this.#missing.get(path);
    if (source !== undefined) await this.#orFailure(this.#filler.whenFile(source, signal));
  }

  async whenSource(source: string, signal: AbortSignal): Promise<void> {
    const path = this.#paths.get(source);
    if (path !== undefined) return await this.whenFile(path, signal);
    throw new StreamError(`${source} is not fetched any more`, { code: 'STREAM_UNKNOWN' });
  }

  async whenRange(path: string, range: ByteRange, signal: AbortSignal): Promise<void> {
    const source = this.#missing.get(path);
    if (source !== undefined) await this.#orFailure(this.#filler.whenRange(source, range, signal));
  }

  async stop(): Promise<void> {
    const { model } = this.#listing;
    this.#fail(new StreamError(`${model}: it is fetched no further`, { code: 'STREAM_STOPPED' }));
    await this.#filler.stop();
    await this.#draft.note().catch(() => undefined); // it may be whole, and its folder gone
    await this.whole.catch(() => undefined);
    for (const source of this.#missing.values()) this.#options.placeholders?.forget(source);
  }

  async #orFailure(waiting: Promise<void>): Promise<void> {
    try {
      await waiting;
    } catch (error) {
      throw this.#failure ?? error;
    }
  }

  /** A file has its bytes only once its bit is gone; whoever waits hears of it after that. */
  async #fileEnded(source: string, error: Error | null): Promise<void> {
    if (error !== null)
      return this.#fail(explained(error, this.#listing.model, 'the disk of the state directory'));
    await finishPlaceholder(source);
    this.#missing.delete(this.#paths.get(source) ?? '');
    this.#options.placeholders?.forget(source);
    if (this.#missing.size === 0) this.#settle();
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#stopping.abort(error);
    this.#settle(error);
    void this.#filler.stop();
  }

  #noteSoon(): void {
    this.#noting ??= setTimeout(() => {
      this.#noting = null;
      void this.#draft.note().catch(() => undefined); // what goes wrong with the disk, the next chunk says
    }, NOTE_AFTER_MS);
  }

  /** What has come is as it was asked for, but only its hash says what that is. */
  async #keepWhenFull(): Promise<StoredContent> {
    await this.#filled.finally(() => clearTimeout(this.#noting ?? undefined));
    const { store } = this.#options;
    const files = await mapConcurrently(this.#draft.files, FILES_AT_ONCE, async (file) => ({
      ...{ path: file.path, executable: false },
      ...(await this.#digests.of(file)),
    }));
    try {
      await this.#listing.check(files, this.#stopping.signal);
    } catch (error) {
      if (!this.#stopping.signal.aborted) await this.#draft.discard();
      throw error;
    }
    this.#stopping.signal.throwIfAborted();
    const hash = contentHash(files);
    const target = store.pathOf(hash);
    const known = await store.find(hash);
    if (known?.root === target) {
      this.#root = target;
      await this.#draft.discard();
      await store.touch(hash);
      return known;
    }
    await this.#draft.finish(target);
    this.#root = target;
    return await store.add({ hash, root: target, files });
  }
}

async function reserve(
  model: string,
  { folder, room }: StreamedModelOptions,
  totalBytes: number,
): Promise<() => void> {
  const reservation = await room.reserve({ folder, totalBytes });
  if (reservation.ok) return reservation.release;
  const { neededBytes, freeBytes, cache } = reservation.shortage;
  const where = cache === null ? 'on the disk of the state directory' : 'in what models may take there';
  throw new StreamError(
    `${model}: too little is free ${where} (${sizeText(neededBytes)} are needed, ${sizeText(freeBytes)} are free); make room`,
    { code: 'STREAM_NO_ROOM' },
  );
}
