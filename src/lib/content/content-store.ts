import type { BigIntStats } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrently } from '../concurrency.ts';
import { codeOf } from '../errors.ts';
import { digestFile } from '../file-digests.ts';
import { readIfThere, writeDurably } from '../files.ts';
import { type ContentFile, isHash, isManifestOf, type Manifest } from './manifest.ts';

/** A content that is whole on this machine. */
export interface StoredContent {
  readonly hash: string;
  /** absolute: the folder that holds the files, or the file itself where the content is one file */
  readonly root: string;
  readonly files: Manifest;
}

/** What is written down of a content. */
export interface RecordedContent extends StoredContent {
  /** of each file, in order, what it looks like: equal for names of one and the same file on the disk */
  readonly appearances: readonly string[];
}

export interface ContentStoreOptions {
  /** `<hash>.json` for each content that is whole */
  readonly recordsDir: string;
  /** `<hash>`: the bytes of models that are kept here */
  readonly filesDir: string;
}

/** What is remembered of a file: what it held, and what it looked like when that was last made sure of. */
interface SeenFile extends ContentFile {
  readonly seen: string;
}

interface ContentRecord {
  readonly root: string;
  readonly files: readonly SeenFile[];
}

const FILES_AT_ONCE = 8;

/**
 * What this machine has of packages and models, by hash. A content counts as here while its files look as they did when
 * their hashes were last made sure of (inode, size, time of change to the bytes); one that looks different is read again.
 */
export class ContentStore {
  readonly #options: ContentStoreOptions;

  constructor(options: ContentStoreOptions) {
    this.#options = options;
  }

  /** Where the bytes of a model are kept. */
  pathOf(hash: string): string {
    return join(this.#options.filesDir, hash);
  }

  /** @returns null when it is not here, or not as its hash says: then it is not here any more, either */
  async find(hash: string): Promise<StoredContent | null> {
    const record = await this.#read(hash);
    if (record === null) return null;
    const files = await mapConcurrently(record.files, FILES_AT_ONCE, (file) => lookAgain(record.root, file));
    const whole = files.filter((file) => file !== null);
    if (whole.length < files.length) {
      await this.remove(hash);
      return null;
    }
    const isAsSeen = whole.every((file, index) => file.seen === record.files[index]?.seen);
    if (!isAsSeen) await this.#write(hash, { root: record.root, files: whole });
    return { hash, root: record.root, files: whole.map(withoutSeen) };
  }

  /** What is written down of a content, without a look at its files; null for what is not here, or not whole. */
  async recorded(hash: string): Promise<RecordedContent | null> {
    const record = await this.#read(hash);
    if (record === null) return null;
    const { root, files } = record;
    return { hash, root, files: files.map(withoutSeen), appearances: files.map(({ seen }) => seen) };
  }

  /** Takes in files whose hashes have just been made sure of. */
  async add(content: StoredContent): Promise<StoredContent> {
    const { hash, root } = content;
    const files = await mapConcurrently(content.files, FILES_AT_ONCE, async (file) => ({
      ...withoutSeen(file),
      seen: appearanceOf(await stat(join(root, file.path), { bigint: true })),
    }));
    await this.#write(hash, { root, files });
    return content;
  }

  /** Says that a content is in use again: pruning looks at when that was last. */
  async touch(hash: string): Promise<void> {
    const now = new Date();
    await utimes(this.#recordPath(hash), now, now).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
    });
  }

  /** Forgets a content, with the bytes that are kept here; files that are used in place are left alone. */
  async remove(hash: string): Promise<void> {
    await rm(this.#recordPath(hash), { force: true });
    const doomed = `${this.pathOf(hash)}.gone`;
    await rename(this.pathOf(hash), doomed).catch((error: unknown) => {
      if (codeOf(error) !== 'ENOENT') throw error;
    });
    await rm(doomed, { recursive: true, force: true });
  }

  /** Contents with when each was last in use, ms since 1970; bytes without a record (a kill in between) as well. */
  async list(): Promise<readonly { readonly hash: string; readonly usedAtMs: number }[]> {
    const { recordsDir, filesDir } = this.#options;
    const [records, files] = await Promise.all([namesIn(recordsDir), namesIn(filesDir)]);
    const hashes = new Set(
      [...records.map((name) => name.replace(/\.json$/, '')), ...files].filter((name) => isHash(name)),
    );
    return await mapConcurrently([...hashes].sort(), FILES_AT_ONCE, async (hash) => {
      const times = [this.#recordPath(hash), this.pathOf(hash)].map((path) => stat(path).catch(() => null));
      const usedAtMs = Math.max(0, ...(await Promise.all(times)).map((status) => status?.mtimeMs ?? 0));
      return { hash, usedAtMs };
    });
  }

  async #read(hash: string): Promise<ContentRecord | null> {
    if (!isHash(hash)) return null;
    const text = await readIfThere(this.#recordPath(hash));
    if (text === null) return null;
    try {
      const record = JSON.parse(text) as ContentRecord;
      return isManifestOf(hash, record.files) ? record : null;
    } catch {
      return null; // half a record is none: the content is looked for as if it were not here
    }
  }

  async #write(hash: string, record: ContentRecord): Promise<void> {
    await mkdir(this.#options.recordsDir, { recursive: true });
    await writeDurably(this.#recordPath(hash), JSON.stringify(record));
  }

  #recordPath(hash: string): string {
    return join(this.#options.recordsDir, `${hash}.json`);
  }
}

/** @returns null for a file that is gone or does not hold what it should */
async function lookAgain(root: string, file: SeenFile): Promise<SeenFile | null> {
  const path = join(root, file.path);
  try {
    const status = await stat(path, { bigint: true });
    const appearance = appearanceOf(status);
    if (appearance === file.seen) return file;
    if (!status.isFile() || Number(status.size) !== file.sizeBytes) return null;
    const { sha256 } = await digestFile(path);
    return sha256 === file.sha256 ? { ...file, seen: appearance } : null;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'FILE_CHANGED'].includes(codeOf(error) ?? '')) return null;
    throw error;
  }
}

/** Without the change time, which a further hard link moves. */
function appearanceOf(status: BigIntStats): string {
  return [status.ino, status.size, status.mtimeNs].join(':');
}

function withoutSeen({ path, sizeBytes, sha256, executable }: ContentFile): ContentFile {
  return { path, sizeBytes, sha256, executable };
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
