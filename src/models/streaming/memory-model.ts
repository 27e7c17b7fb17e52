import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { sizeText } from '../../cluster/placement/amounts.ts';
import type { ModelFetch } from '../../cluster/status/types.ts';
import { mapConcurrently } from '../../lib/concurrency.ts';
import type { StoredContent } from '../../lib/content/content-store.ts';
import { contentHash } from '../../lib/content/manifest.ts';
import { diskRoom } from '../../lib/content/room.ts';
import { digestFile } from '../../lib/file-digests.ts';
import { whyNotOurs } from '../../lib/files.ts';
import type { Log } from '../../lib/log.ts';
import { Filler } from '../filling/filler.ts';
import type { Placeholders } from '../preload/barrier-server.ts';
import { ExpiringFiles } from '../preload/expiring-files.ts';
import type { LocalFile } from '../preload/model-directory.ts';
import { finishPlaceholder } from '../preload/placeholder.ts';
import type { ByteRange } from '../sources/types.ts';
import { CHUNK_BYTES, type ComingModel, explained, inOrder, StreamError } from './coming-model.ts';
import { type DraftFile, DraftFolder } from './draft-folder.ts';
import type { OpenListing } from './stream-origin.ts';

export interface MemoryModelOptions {
  /** where it lies: below a folder in memory */
  readonly folder: string;
  /** requests at once */
  readonly connections: number;
  /** how long after the last open of a file its memory is given back */
  readonly expireMs: number;
  readonly placeholders: Placeholders;
  readonly log: Log;
}

/** What is so small stays when memory is given back. */
const SMALL_BYTES = 8 * 1024 ** 2;
const NOTE_AFTER_MS = 200;
const FILES_AT_ONCE = 2;

/**
 * One model in memory: it comes while it is loaded, and large files make room for new placeholders when none was opened for a
 * while; who opens one then waits until it has come once more. Its folder stays the same, its files do not.
 */
export class MemoryModel implements ComingModel {
  readonly whole: Promise<StoredContent>;
  readonly isInMemory = true;
  readonly #listing: OpenListing;
  readonly #draft: DraftFolder;
  readonly #options: MemoryModelOptions;
  readonly #filler: Filler;
  readonly #expiring: ExpiringFiles;
  readonly #sources: ReadonlyMap<string, DraftFile>;
  /** places of files that have not come for the first time */
  readonly #missing: Set<string>;
  readonly #large: LocalFile[] = [];
  readonly #stopping = new AbortController();
  #settle: (error?: Error) => void = () => undefined;
  #failure: Error | null = null;
  #isWhole = false;
  #noting: NodeJS.Timeout | null = null;

  private constructor(listing: OpenListing, options: MemoryModelOptions, draft: DraftFolder) {
    this.#listing = listing;
    this.#draft = draft;
    this.#options = options;
    const { placeholders, connections, expireMs, log } = options;
    this.#sources = new Map(draft.files.map((file) => [file.path, file]));
    const filled = draft.files.filter(({ sizeBytes }) => sizeBytes > 0);
    this.#missing = new Set(filled.map(({ source }) => source));
    const onFile = async (source: string, error: Error | null) => await this.#fileEnded(source, error);
    const filling = { connections, chunkBytes: CHUNK_BYTES };
    this.#filler = new Filler(listing.source, { ...filling, onFile, onChunk: () => this.#noteSoon() });
    const noted: Placeholders = {
      protect: async (path, name) => {
        await draft.drop(name ?? path); // before its bytes go: the next node process must not take it for whole
        await placeholders.protect(path, name);
      },
      forget: (name) => placeholders.forget(name),
    };
    const expiry = { afterMs: expireMs, connections, log, placeholders: noted };
    this.#expiring = new ExpiringFiles(expiry, this.#filler, listing.source);
    this.whole = this.#whenWhole();
    this.whole.catch((error: Error) => this.#fail(error));
    this.#filler.add(
      inOrder(filled, SMALL_BYTES).map(({ source, held }) => ({ ...this.#local(source), held })),
    );
    if (filled.length === 0) this.#settle();
  }

  /**
   * Makes the placeholders, or finds those of an earlier run, and begins to fetch.
   * @throws StreamError STREAM_NO_ROOM; STREAM_FAILED where somebody else has made the folder
   */
  static async open(listing: OpenListing, options: MemoryModelOptions): Promise<MemoryModel> {
    const { folder, placeholders } = options;
    await makeOwn(dirname(folder));
    const draft = await DraftFolder.open(folder, listing.files, CHUNK_BYTES);
    const totalBytes = draft.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const reservation = await diskRoom(0).reserve({ folder, totalBytes });
    if (!reservation.ok) {
      await draft.discard();
      const { neededBytes, freeBytes } = reservation.shortage;
      throw new StreamError(
        `${listing.model}: too little memory is free for it in ${dirname(dirname(folder))} (${sizeText(neededBytes)} are needed, ${sizeText(freeBytes)} are free); make room there (a container gets more with --shm-size), or keep it on the disk with stream = on`,
        { code: 'STREAM_NO_ROOM' },
      );
    }
    for (const { source, sizeBytes } of draft.files) if (sizeBytes > 0) await placeholders.protect(source);
    return new MemoryModel(listing, options, draft);
  }

  get root(): string {
    return this.#draft.root;
  }

  get files(): readonly { readonly path: string; readonly sizeBytes: number }[] {
    return this.#draft.files;
  }

  get failure(): Error | null {
    return this.#failure;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  get progress(): ModelFetch {
    return { model: this.#listing.model, ...this.#filler.progress };
  }

  async whenFile(path: string, signal: AbortSignal): Promise<void> {
    const file = this.#sources.get(path);
    if (file !== undefined && file.sizeBytes > 0) await this.whenSource(file.source, signal);
  }

  async whenSource(source: string, signal: AbortSignal): Promise<void> {
    await this.#orFailure(this.#expiring.whenFile(source, signal));
  }

  async whenRange(path: string, range: ByteRange, signal: AbortSignal): Promise<void> {
    const file = this.#sources.get(path);
    if (this.#isWhole || file === undefined) return await this.whenFile(path, signal);
    await this.#orFailure(this.#filler.whenRange(file.source, range, signal));
  }

  async keep(signal: AbortSignal): Promise<void> {
    await this.#orFailure(this.#expiring.keep(signal));
  }

  async stop(): Promise<void> {
    const { model } = this.#listing;
    this.#fail(new StreamError(`${model}: it is fetched no further`, { code: 'STREAM_STOPPED' }));
    await this.#filler.stop();
    await this.#expiring.stop();
    await this.#draft.note().catch(() => undefined); // there may be no memory for it
    await this.whole.catch(() => undefined);
    for (const { source } of this.#draft.files) this.#options.placeholders.forget(source);
  }

  async discard(): Promise<void> {
    await this.#draft.discard();
  }

  async #orFailure(waiting: Promise<void>): Promise<void> {
    try {
      await waiting;
    } catch (error) {
      throw this.#failure ?? this.#explained(error as Error);
    }
  }

  async #fileEnded(source: string, error: Error | null): Promise<void> {
    if (error !== null) return this.#fail(this.#explained(error));
    const local = this.#local(source);
    if ((local.remote.sizeBytes ?? 0) > SMALL_BYTES) this.#large.push(local);
    else {
      await finishPlaceholder(source);
      this.#options.placeholders.forget(source);
    }
    this.#missing.delete(source);
    if (this.#missing.size === 0) this.#settle();
  }

  async #whenWhole(): Promise<StoredContent> {
    await new Promise<void>((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    }).finally(() => clearTimeout(this.#noting ?? undefined));
    const files = await mapConcurrently(this.#draft.files, FILES_AT_ONCE, async ({ path, source }) => ({
      ...{ path, executable: false },
      ...(await digestFile(source)),
    }));
    await this.#listing.check(files, this.#stopping.signal);
    this.#stopping.signal.throwIfAborted();
    await this.#draft.note();
    this.#isWhole = true;
    await this.#expiring.begin(this.#large);
    return { hash: contentHash(files), root: this.root, files };
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#stopping.abort(error);
    this.#settle(error);
    void this.#filler.stop();
  }

  #explained(error: Error): Error {
    return explained(error, this.#listing.model, `the memory of ${dirname(dirname(this.#options.folder))}`);
  }

  #local(source: string): LocalFile {
    const index = this.#draft.files.findIndex((file) => file.source === source);
    const listed = this.#listing.files[index];
    if (listed === undefined)
      throw new StreamError(`${source} is none of its files`, { code: 'STREAM_UNKNOWN' });
    return { remote: listed.file, path: source };
  }

  #noteSoon(): void {
    this.#noting ??= setTimeout(() => {
      this.#noting = null;
      void this.#draft.note().catch(() => undefined); // what goes wrong with memory, the next chunk says
    }, NOTE_AFTER_MS);
  }
}

/** Every user may make folders there: in one of somebody else, they could change what is loaded. */
async function makeOwn(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const problem = await whyNotOurs(folder);
  if (problem !== null) throw new StreamError(`${folder} ${problem}: remove it`, { code: 'STREAM_FAILED' });
}
