import { createHash } from 'node:crypto';
import { link, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrently } from '../../lib/concurrency.ts';
import type { ContentStore } from '../../lib/content/content-store.ts';
import { codeOf } from '../../lib/errors.ts';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { type TarEntry, type TarFile, TarReader } from '../../lib/tar/read-tar.ts';
import { ImageError, type LayerEntry, type LayerFile } from './compose.ts';
import { type EntryMeaning, meaningOf, topOf } from './layer-entries.ts';
import { Unpacker } from './unpack.ts';

/** What a layer holds of a model. */
export interface Layer {
  readonly entries: readonly LayerEntry[];
  /** names at the top of the layer, for who looks for the model folder in vain */
  readonly tops: readonly string[];
}

/** What is remembered of a layer that has been fetched before. */
export interface KnownLayer extends Layer {
  /** models that its files have become part of, the latest first */
  readonly contents: readonly string[];
}

/** In what tars differ that hold files of a model. */
export interface TarKind {
  meaningOf(entry: TarEntry): EntryMeaning;
  /** what ends early is told by its last block alone */
  readonly isEndNeeded: boolean;
}

/** Its digest says whether it is whole. */
const LAYER: TarKind = { meaningOf, isEndNeeded: false };
const MAX_ENTRIES = 100_000;
const MAX_TOPS = 50;
const FILES_AT_ONCE = 8;

/**
 * The files of one layer, in a folder of their own under numbers: whatever a tar calls them, nothing is written
 * anywhere else. Its list is written last, when all has proven to be what the layer's digest says.
 */
export class LayerDraft {
  readonly #folder: string;
  readonly #kind: TarKind;

  constructor(folder: string, kind: TarKind = LAYER) {
    this.#folder = folder;
    this.#kind = kind;
  }

  /** Where the bytes of a file are. */
  pathOf(file: Pick<LayerFile, 'blob'>): string {
    return join(this.#folder, file.blob);
  }

  /** @returns null when it is not here, or not whole */
  async find(): Promise<Layer | null> {
    const text = await readIfThere(join(this.#folder, LIST));
    return text === null ? null : (JSON.parse(text) as Layer);
  }

  /** Removes what is there. */
  async discard(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }

  /**
   * Takes the files from models that are kept here, as further names of theirs.
   * @returns false when one of them is in none of these
   */
  async adopt(layer: KnownLayer, store: ContentStore): Promise<boolean> {
    const kept = await keptFiles(layer.contents, store);
    const files = layer.entries.filter((entry) => entry.kind === 'file');
    if (files.some(({ sha256 }) => !kept.has(sha256))) return false;
    await this.#begin();
    try {
      await mapConcurrently(files, FILES_AT_ONCE, async (file) => {
        await link(kept.get(file.sha256) ?? '', this.pathOf(file));
      });
    } catch (error) {
      if (!['EMLINK', 'EXDEV', 'EPERM', 'ENOENT'].includes(codeOf(error) ?? '')) throw error;
      return false; // too many names, a disk of its own, or gone meanwhile: it is fetched
    }
    await this.#finish(layer);
    return true;
  }

  /**
   * Fetches it: each file goes to its place as it comes, and is hashed on the way.
   * @param read gives the packed bytes, and throws in the end when they are not those of the digest
   * @param searchPath where programs are that unpack
   * @throws what `read` throws; ImageError, TarError, UnpackError; nothing is left then
   */
  async fetch(
    read: (take: (bytes: Buffer) => Promise<void>) => Promise<void>,
    searchPath: string,
  ): Promise<Layer> {
    await this.#begin();
    const writer = new LayerWriter(this.#folder, this.#kind.meaningOf);
    const tar = new TarReader((entry) => writer.take(entry));
    const unpacker = new Unpacker((bytes) => tar.write(bytes), searchPath);
    try {
      await read((bytes) => unpacker.write(bytes));
      await unpacker.end();
      tar.end(this.#kind.isEndNeeded);
      await this.#finish(writer);
      return { entries: writer.entries, tops: writer.tops };
    } catch (error) {
      await unpacker.abort();
      await writer.abort();
      await this.discard();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    await this.discard();
    await mkdir(this.#folder, { recursive: true });
  }

  /** The list says what is on the disk, so that has to be there first. */
  async #finish({ entries, tops }: Layer): Promise<void> {
    const files = entries.filter((entry) => entry.kind === 'file');
    await mapConcurrently(files, FILES_AT_ONCE, async (entry) => {
      const file = await open(this.pathOf(entry), 'r');
      await file.sync().finally(() => file.close());
    });
    await writeDurably(join(this.#folder, LIST), JSON.stringify({ entries, tops }));
  }
}

const LIST = 'layer.json';

/** Those of models whose bytes are kept here, by hash; files that are used in place are somebody else's. */
async function keptFiles(hashes: readonly string[], store: ContentStore): Promise<Map<string, string>> {
  const kept = new Map<string, string>();
  for (const hash of hashes) {
    const content = await store.find(hash);
    if (content === null || content.root !== store.pathOf(hash)) continue;
    for (const { path, sha256 } of content.files) kept.set(sha256, join(content.root, path));
  }
  return kept;
}

/** Writes the model files of a tar, and notes what else it says of them. */
class LayerWriter implements Layer {
  readonly entries: LayerEntry[] = [];
  readonly #tops = new Set<string>();
  readonly #folder: string;
  readonly #meaningOf: TarKind['meaningOf'];
  #open: { close(): Promise<void> } | null = null;

  constructor(folder: string, meaningOf: TarKind['meaningOf']) {
    this.#folder = folder;
    this.#meaningOf = meaningOf;
  }

  get tops(): readonly string[] {
    return [...this.#tops].sort();
  }

  async take(entry: TarEntry): Promise<TarFile | null> {
    const meaning = this.#meaningOf(entry);
    const top = topOf(entry);
    if (this.#tops.size < MAX_TOPS && top !== '') this.#tops.add(top);
    if (meaning.kind === 'outside') return null;
    if (this.entries.length >= MAX_ENTRIES) {
      throw new ImageError(`more than ${MAX_ENTRIES} entries`, {
        code: 'IMAGE_TOO_LARGE',
        path: meaning.path,
      });
    }
    if (meaning.kind === 'file') return await this.#write(meaning.path, entry.sizeBytes);
    this.entries.push(meaning);
    return null;
  }

  /** Closes a file that is not complete. */
  async abort(): Promise<void> {
    await this.#open?.close();
  }

  async #write(path: string, sizeBytes: number): Promise<TarFile> {
    const blob = String(this.entries.length);
    const hash = createHash('sha256');
    const file = await open(join(this.#folder, blob), 'wx', 0o444);
    this.#open = file;
    return {
      write: async (bytes) => {
        hash.update(bytes);
        for (let done = 0; done < bytes.length; ) done += (await file.write(bytes, done)).bytesWritten;
      },
      end: async () => {
        this.#open = null;
        await file.close();
        this.entries.push({ kind: 'file', path, sizeBytes, sha256: hash.digest('hex'), blob });
      },
    };
  }
}
