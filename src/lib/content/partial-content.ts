import { constants } from 'node:fs';
import { chmod, type FileHandle, mkdir, open, rename, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestFile } from '../file-digests.ts';
import { readIfThere, writeDurably } from '../files.ts';
import { checkManifest, isManifestOf, type Manifest, totalBytesOf } from './manifest.ts';
import { type Piece, PieceSet, pieceAt, pieceBytesFor, pieceCount, segmentsOf } from './pieces.ts';

/** What is written down of a content that is being fetched, so that it goes on after whatever ended it. */
interface Progress {
  readonly files: Manifest;
  readonly held: string;
}

/** How much may be lost to a kill: what came after the last note is fetched again. */
const NOTE_EVERY_BYTES = 32 * 1024 ** 2;

/**
 * A content that is on its way: files of their final size in a folder of their own, and which pieces of them are there.
 * Nothing gets its name before all hashes have been made sure of.
 */
export class PartialContent {
  readonly files: Manifest;
  readonly totalBytes: number;
  readonly held: PieceSet;
  readonly #folder: string;
  #unnotedBytes = 0;
  #noting: Promise<void> = Promise.resolve();

  private constructor(folder: string, files: Manifest, held: PieceSet) {
    this.#folder = folder;
    this.files = files;
    this.totalBytes = totalBytesOf(files);
    this.held = held;
  }

  /** Goes on with what an earlier run left in the folder, or null where there is nothing to go on with. */
  static async resume(folder: string, hash: string): Promise<PartialContent | null> {
    const text = await readIfThere(join(folder, 'progress.json'));
    if (text === null) return null;
    try {
      const { files, held } = JSON.parse(text) as Progress;
      if (!isManifestOf(hash, files)) return null;
      return new PartialContent(folder, files, PieceSet.decode(held, pieceCount(totalBytesOf(files))));
    } catch {
      return null;
    }
  }

  /**
   * Begins anew: what lies in the folder is removed.
   * @throws ManifestError when a path would lead out of the folder; ENOSPC
   */
  static async begin(folder: string, files: Manifest): Promise<PartialContent> {
    checkManifest(files);
    await rm(folder, { recursive: true, force: true });
    const partial = new PartialContent(folder, files, new PieceSet(pieceCount(totalBytesOf(files))));
    for (const [index, file] of files.entries()) {
      const path = partial.#pathOf(index);
      await mkdir(dirname(path), { recursive: true });
      const created = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
      await created.close();
      await truncate(path, file.sizeBytes);
    }
    await partial.note();
    return partial;
  }

  pieceAt(index: number): Piece {
    return pieceAt(index, this.totalBytes);
  }

  /** Puts a piece into its place; one that is there already is left as it is. */
  async write(index: number, bytes: Uint8Array): Promise<void> {
    if (this.held.has(index)) return;
    let from = 0;
    for (const segment of segmentsOf(this.files, this.pieceAt(index))) {
      const part = bytes.subarray(from, from + segment.length);
      await this.#withFile(segment.file, (file) => writeFully(file, part, segment.offset));
      from += segment.length;
    }
    this.held.add(index);
    this.#unnotedBytes += bytes.length;
    // Not waited for: on a busy disk it takes as long as the next pieces. What goes wrong with it, the last one says.
    if (this.#unnotedBytes >= NOTE_EVERY_BYTES) void this.note().catch(() => undefined);
  }

  /** Writes down which pieces are there. */
  async note(): Promise<void> {
    this.#unnotedBytes = 0;
    const noting = this.#noting
      .catch(() => undefined)
      .then(async () => {
        const progress: Progress = { files: this.files, held: this.held.encode() };
        await writeDurably(join(this.#folder, 'progress.json'), JSON.stringify(progress));
      });
    this.#noting = noting;
    await noting;
  }

  /** Where a file lies while it is being fetched: its bytes are right only where pieces are held. */
  get root(): string {
    return join(this.#folder, 'tree');
  }

  /**
   * Reads every file through once all pieces are there. The pieces of files that are not what they should be are
   * dropped, so that they are fetched again.
   * @returns those pieces; empty: everything is as the hashes say
   */
  async verify(): Promise<readonly number[]> {
    const wrong = new Set<number>();
    let offset = 0;
    for (const [index, file] of this.files.entries()) {
      const { sha256 } = await digestFile(this.#pathOf(index));
      if (sha256 !== file.sha256) {
        for (const piece of this.#piecesIn(offset, file.sizeBytes)) wrong.add(piece);
      }
      offset += file.sizeBytes;
    }
    for (const piece of wrong) this.held.delete(piece);
    if (wrong.size > 0) await this.note();
    return [...wrong];
  }

  /** Makes the files read-only, writes them through to the disk and gives them their name. */
  async finish(target: string): Promise<void> {
    for (const [index, { executable }] of this.files.entries()) {
      await chmod(this.#pathOf(index), executable ? 0o555 : 0o444);
      await this.#withFile(index, (file) => file.sync(), constants.O_RDONLY);
    }
    await mkdir(dirname(target), { recursive: true });
    await rm(target, { recursive: true, force: true });
    await rename(this.root, target);
    await this.discard();
  }

  /** Removes what is there. */
  async discard(): Promise<void> {
    await this.#noting.catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
  }

  *#piecesIn(offset: number, length: number): Generator<number> {
    const pieceBytes = pieceBytesFor(this.totalBytes);
    for (let at = Math.floor(offset / pieceBytes); at * pieceBytes < offset + length; at += 1) yield at;
  }

  #pathOf(index: number): string {
    return join(this.root, this.files[index]?.path ?? '');
  }

  async #withFile(
    index: number,
    work: (file: FileHandle) => Promise<void>,
    flags = constants.O_WRONLY,
  ): Promise<void> {
    const file = await open(this.#pathOf(index), flags | constants.O_NOFOLLOW);
    try {
      await work(file);
    } finally {
      await file.close();
    }
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
