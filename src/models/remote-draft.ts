import { chmod, mkdir, open, rename, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { Manifest } from '../lib/content/manifest.ts';
import { PieceSet } from '../lib/content/pieces.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';
import { sha256 } from '../lib/hash.ts';
import type { FilePart } from './arrival/file-fronts.ts';
import { FrontDigests } from './arrival/front-digests.ts';
import type { FileTarget } from './receive/types.ts';
import type { RemoteListing } from './remote-listing.ts';
import type { ByteRange, RemoteFile } from './sources/types.ts';

/** A part of a remote file that one request asks for. */
export interface Chunk {
  /** its place among the chunks */
  readonly index: number;
  /** within the draft */
  readonly path: string;
  readonly file: RemoteFile;
  /** null: the whole file, since the server gives no parts of it */
  readonly range: ByteRange | null;
}

interface Progress {
  readonly fingerprint: string;
  readonly held: string;
}

const CHUNK_BYTES = 8 * 1024 ** 2;
/** How much may be lost to a kill: what came after the last note is fetched again. */
const NOTE_EVERY_BYTES = 64 * 1024 ** 2;
/** So that a slow fetch does not look forgotten to who tidies up. */
const NOTE_EVERY_MS = 60_000;
const SINGLE = 'file';
const FILES_AT_ONCE = 64;
const EMPTY = { sizeBytes: 0, sha256: sha256('') };

/** Files that are being fetched from a server, in a folder of their own, and which parts of them are there. */
export class RemoteDraft {
  readonly chunks: readonly Chunk[];
  readonly #folder: string;
  readonly #listing: RemoteListing;
  readonly #held: PieceSet;
  readonly #digests: FrontDigests;
  /** of files that were written to since the last note */
  readonly #unsynced = new Set<string>();
  #unnotedBytes = 0;
  #notedAtMs = performance.now();
  #noting: Promise<void> = Promise.resolve();

  private constructor(folder: string, listing: RemoteListing, held: string) {
    this.#folder = folder;
    this.#listing = listing;
    this.chunks = listing.files.flatMap(chunksOf).map((chunk, index) => ({ ...chunk, index }));
    this.#held = PieceSet.decode(held, this.chunks.length);
    this.#digests = new FrontDigests(this.chunks.map((chunk) => this.#placed(chunk)));
  }

  /** Goes on with what an earlier run left of the same files, else begins anew. */
  static async open(folder: string, listing: RemoteListing): Promise<RemoteDraft> {
    const progress = parsed(await readIfThere(join(folder, 'progress.json')));
    const isSame = progress !== null && progress.fingerprint === listing.fingerprint;
    const draft = new RemoteDraft(folder, listing, isSame ? progress.held : '');
    if (!isSame) await draft.#create();
    for (const chunk of draft.chunks) if (draft.has(chunk)) draft.#advance(chunk, chunk.file.sizeBytes ?? 0);
    return draft;
  }

  /** of chunks that are there from an earlier run */
  get heldBytes(): number {
    return [...this.#held.members()].reduce(
      (sum, index) => sum + (this.chunks[index]?.range?.length ?? 0),
      0,
    );
  }

  /** Where a single file is, once it has come. */
  get singlePath(): string {
    return this.#pathOf('');
  }

  has(chunk: Chunk): boolean {
    return this.#held.has(chunk.index);
  }

  /**
   * Fills a chunk with what `read` puts into its file.
   * @param read returns where the bytes ended
   */
  async fill(chunk: Chunk, read: (target: FileTarget) => Promise<number>): Promise<void> {
    const path = this.#pathOf(chunk.path);
    const file = await open(path, 'r+');
    let end = 0;
    try {
      end = await read({ fd: file.fd, position: chunk.range?.offset ?? 0 });
      if (chunk.range === null) await file.truncate(end); // a try before may have left more
    } finally {
      await file.close();
    }
    this.#held.add(chunk.index);
    this.#advance(chunk, end); // nothing writes to it any more
    this.#unsynced.add(path);
    this.#unnotedBytes += chunk.range?.length ?? NOTE_EVERY_BYTES;
    const isDue = performance.now() - this.#notedAtMs > NOTE_EVERY_MS;
    if (isDue || this.#unnotedBytes >= NOTE_EVERY_BYTES) await this.note();
  }

  /** Writes down what is there. Without a fingerprint nobody could go on with it. */
  async note(): Promise<void> {
    const { fingerprint } = this.#listing;
    if (fingerprint === null) return;
    this.#unnotedBytes = 0;
    this.#notedAtMs = performance.now();
    const noting = this.#noting
      .catch(() => undefined)
      .then(async () => {
        const progress: Progress = { fingerprint, held: this.#held.encode() };
        await this.#sync();
        await this.#write(JSON.stringify(progress));
      });
    this.#noting = noting;
    await noting;
  }

  /** Nobody knows the hash of what is on its way: what is noted has to be on the disk, or a power cut makes holes of it. */
  async #sync(): Promise<void> {
    const paths = [...this.#unsynced];
    this.#unsynced.clear();
    for (const path of paths) {
      const file = await open(path, 'r');
      await file.datasync().finally(() => file.close());
    }
  }

  /** Into its place where the disk has no room for another: it has the same length each time, and bits that only come. */
  async #write(text: string): Promise<void> {
    const path = join(this.#folder, 'progress.json');
    try {
      await writeDurably(path, text);
    } catch (error) {
      if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') throw error;
      const file = await open(path, 'r+');
      await file.write(text, 0).finally(() => file.close());
    }
  }

  /**
   * What has come, once all has: most of it has been hashed on the way.
   * @throws FILE_CHANGED when another program has written to it
   */
  async digest(): Promise<Manifest> {
    if (!this.#held.isFull) throw new ServeError('parts are missing', { code: 'INTERNAL' });
    return await mapConcurrently(this.#listing.files, FILES_AT_ONCE, async ({ path, file }) => {
      const digest = file.sizeBytes === 0 ? EMPTY : await this.#digests.digestOf(this.#pathOf(path));
      return { ...digest, path, executable: false };
    });
  }

  /** Ends what is done with it besides; what has come stays for the next time. Idempotent. */
  close(): void {
    this.#digests.close();
  }

  /** Makes the files read-only, writes them through to the disk and gives them their name. */
  async finish(target: string): Promise<void> {
    for (const { path } of this.#listing.files) {
      await chmod(this.#pathOf(path), 0o444);
      const file = await open(this.#pathOf(path), 'r');
      await file.sync().finally(() => file.close());
    }
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { recursive: true, force: true });
    await rename(this.#isSingle ? this.#pathOf('') : this.#tree, target);
    await this.discard();
  }

  /** Removes what is there. */
  async discard(): Promise<void> {
    await this.#noting.catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #create(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
    await mkdir(this.#tree, { recursive: true });
    for (const { path, file } of this.#listing.files) {
      const target = this.#pathOf(path);
      await mkdir(dirname(target), { recursive: true });
      await (await open(target, 'wx', 0o600)).close();
      await truncate(target, file.sizeBytes ?? 0);
    }
    await this.note();
  }

  /** @param end where the chunk ended, or the file of a single chunk */
  #advance(chunk: Chunk, end: number): void {
    const { range } = chunk;
    this.#digests.add(this.#placed(chunk), range === null ? end : range.offset + range.length);
  }

  #placed({ index, path, range }: Chunk): FilePart {
    return { index, range, path: this.#pathOf(path) };
  }

  get #isSingle(): boolean {
    return this.#listing.files[0]?.path === '';
  }

  get #tree(): string {
    return join(this.#folder, 'tree');
  }

  #pathOf(path: string): string {
    return join(this.#tree, path === '' ? SINGLE : path);
  }
}

function chunksOf({ path, file }: RemoteListing['files'][number]): readonly Omit<Chunk, 'index'>[] {
  const { sizeBytes } = file;
  if (sizeBytes === 0) return [];
  if (sizeBytes === null || !file.hasRanges) return [{ path, file, range: null }];
  return Array.from({ length: Math.ceil(sizeBytes / CHUNK_BYTES) }, (_, index) => {
    const offset = index * CHUNK_BYTES;
    return { path, file, range: { offset, length: Math.min(CHUNK_BYTES, sizeBytes - offset) } };
  });
}

function parsed(text: string | null): Progress | null {
  if (text === null) return null;
  try {
    const { fingerprint, held } = JSON.parse(text) as Partial<Progress>;
    return typeof fingerprint === 'string' && typeof held === 'string' ? { fingerprint, held } : null;
  } catch {
    return null;
  }
}
