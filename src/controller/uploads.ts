import { createWriteStream } from 'node:fs';
import { chmod, copyFile, link, mkdir, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { ContentStore } from '../lib/content/content-store.ts';
import { checkManifest, isHash, type Manifest, packageHash } from '../lib/content/manifest.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { digestFile } from '../lib/file-digests.ts';
import { identityOf } from '../lib/file-identity.ts';
import { readIfThere, writeDurably } from '../lib/files.ts';

/** A file that the head does not have yet, or only the beginning of. */
export interface MissingFile {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly heldBytes: number;
}

/** A project that somebody wants to apply from a machine whose disk the head does not see. */
export interface Offer {
  /** names the project from now on */
  readonly upload: string;
  readonly missing: readonly MissingFile[];
}

/** An upload that cannot go on as it is; the message says how it can. */
class UploadError extends ServeError<{
  readonly code:
    | 'UPLOAD_UNKNOWN'
    | 'UPLOAD_REFUSED'
    | 'UPLOAD_OFFSET'
    | 'UPLOAD_DAMAGED'
    | 'UPLOAD_INCOMPLETE'
    | 'DISK_FULL';
}> {
  override readonly name = 'UploadError';

  constructor(code: UploadError['data']['code'], message: string) {
    super(message, { code });
  }
}

const SPARE_BYTES = 1024 ** 3;
const FILES_AT_ONCE = 8;

/** Projects that came over the network: files by hash, put together in folders that are applied like any other. */
export class Uploads {
  readonly #folder: string;
  readonly #store: ContentStore;
  readonly #receiving = new Set<string>();

  constructor(folder: string, store: ContentStore) {
    this.#folder = folder;
    this.#store = store;
  }

  /** Whether a file looks from here as it does from elsewhere: then both see the same disk. */
  async sees(file: {
    readonly path: string;
    readonly identity: string;
    readonly sha256: string;
  }): Promise<boolean> {
    const status = await stat(file.path, { bigint: true }).catch(() => null);
    if (status === null || !status.isFile() || identityOf(status) !== file.identity) return false;
    return (await digestFile(file.path).catch(() => null))?.sha256 === file.sha256;
  }

  /** @throws ManifestError, UploadError */
  async offer(files: Manifest): Promise<Offer> {
    checkManifest(files);
    if (!files.some((file) => file.path === 'conf.ini')) {
      throw new UploadError('UPLOAD_REFUSED', 'a project has a conf.ini; this one has none');
    }
    const upload = packageHash(files);
    await mkdir(join(this.#folder, 'blobs'), { recursive: true });
    const missing = await this.#missing(files);
    await this.#requireRoom(missing.reduce((sum, file) => sum + file.sizeBytes - file.heldBytes, 0));
    await writeDurably(this.#manifestPath(upload), JSON.stringify(files));
    return { upload, missing };
  }

  /**
   * Takes bytes of a file that an upload named, from an offset on.
   * @returns how much of it is here now
   * @throws UploadError; what came before a broken connection stays
   */
  async receive(upload: string, part: { sha256: string; offset: number }, bytes: Readable): Promise<number> {
    const file = (await this.#manifest(upload)).find(({ sha256 }) => sha256 === part.sha256);
    if (file === undefined) throw unknown(upload);
    if (await this.#find(file.sha256)) return file.sizeBytes;
    if (this.#receiving.has(file.sha256)) {
      throw new UploadError('UPLOAD_OFFSET', 'this file is being sent by somebody else; ask again');
    }
    this.#receiving.add(file.sha256);
    try {
      return await this.#append(file, part.offset, bytes);
    } finally {
      this.#receiving.delete(file.sha256);
    }
  }

  /**
   * Puts a project together from its files.
   * @returns its folder
   * @throws UploadError UPLOAD_INCOMPLETE while files are missing
   */
  async materialise(upload: string): Promise<string> {
    const files = await this.#manifest(upload);
    const folder = join(this.#folder, 'projects', upload);
    const now = new Date();
    if ((await stat(folder).catch(() => null)) !== null) {
      await utimes(folder, now, now);
      return folder;
    }
    const missing = await this.#missing(files);
    if (missing.length > 0) {
      throw new UploadError(
        'UPLOAD_INCOMPLETE',
        `${missing.length} files of the project have not arrived yet`,
      );
    }
    const draft = `${folder}.${process.pid}-${Date.now()}`;
    try {
      for (const path of ['algopkg', 'Model_ZOO']) await mkdir(join(draft, path), { recursive: true });
      await mapConcurrently(files, FILES_AT_ONCE, async (file) => {
        const path = join(draft, file.path);
        await mkdir(dirname(path), { recursive: true });
        await linkOrCopy(
          (await this.#find(file.sha256)) ?? this.#blobPath(file.sha256),
          path,
          file.executable,
        );
      });
      await rename(draft, folder).catch((error: unknown) => {
        if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
      });
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    return folder;
  }

  /** Deletes what nobody has applied or sent for a while; revisions have copies of their own. */
  async prune(graceMs: number): Promise<void> {
    const before = Date.now() - graceMs;
    for (const kind of ['projects', 'manifests', 'blobs']) {
      const folder = join(this.#folder, kind);
      for (const name of await readdir(folder).catch(() => [])) {
        const status = await stat(join(folder, name)).catch(() => null);
        if (status !== null && status.mtimeMs < before) {
          await rm(join(folder, name), { recursive: true, force: true });
        }
      }
    }
  }

  async #append(file: Manifest[number], offset: number, bytes: Readable): Promise<number> {
    const part = `${this.#blobPath(file.sha256)}.part`;
    const heldBytes = (await stat(part).catch(() => null))?.size ?? 0;
    if (offset !== heldBytes) {
      bytes.resume();
      throw new UploadError(
        'UPLOAD_OFFSET',
        `${heldBytes} bytes are here; go on from there, not from ${offset}`,
      );
    }
    try {
      const target = createWriteStream(part, {
        flags: heldBytes === 0 ? 'w' : 'r+',
        start: heldBytes,
        mode: 0o600,
      });
      await pipeline(bytes, atMost(file.sizeBytes - heldBytes), target);
    } catch (error) {
      if (codeOf(error) === 'ENOSPC') throw new UploadError('DISK_FULL', 'the disk of the head is full');
      throw error;
    }
    const { size } = await stat(part);
    if (size === file.sizeBytes) await this.#keep(part, file);
    return size;
  }

  async #keep(part: string, file: Manifest[number]): Promise<void> {
    if ((await digestFile(part)).sha256 !== file.sha256) {
      await rm(part, { force: true });
      throw new UploadError('UPLOAD_DAMAGED', `${file.path} did not arrive as it was named: send it again`);
    }
    await chmod(part, file.executable ? 0o555 : 0o444);
    await rename(part, this.#blobPath(file.sha256));
  }

  async #missing(files: Manifest): Promise<readonly MissingFile[]> {
    const distinct = [...new Map(files.map((file) => [file.sha256, file])).values()];
    const found = await mapConcurrently(distinct, FILES_AT_ONCE, async ({ sha256, sizeBytes }) => {
      if (await this.#find(sha256)) return null;
      const part = await stat(`${this.#blobPath(sha256)}.part`).catch(() => null);
      return { sha256, sizeBytes, heldBytes: part?.size ?? 0 };
    });
    return found.filter((file) => file !== null);
  }

  /** Where the bytes of a file lie: sent before, or kept as a model of a revision. */
  async #find(sha256: string): Promise<string | null> {
    const now = new Date();
    const path = this.#blobPath(sha256);
    try {
      await utimes(path, now, now);
      return path;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
    const model = await this.#store.find(sha256);
    const isOurs = model?.root === this.#store.pathOf(sha256) && model.files[0]?.path === '';
    return isOurs ? model.root : null;
  }

  async #manifest(upload: string): Promise<Manifest> {
    const text = isHash(upload) ? await readIfThere(this.#manifestPath(upload)) : null;
    if (text === null) throw unknown(upload);
    return JSON.parse(text) as Manifest;
  }

  async #requireRoom(neededBytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    if (neededBytes + SPARE_BYTES <= bavail * bsize) return;
    throw new UploadError(
      'DISK_FULL',
      `the head needs ${neededBytes} bytes more for this project, and has ${bavail * bsize} free in ${this.#folder}`,
    );
  }

  #manifestPath(upload: string): string {
    return join(this.#folder, 'manifests', `${upload}.json`);
  }

  #blobPath(sha256: string): string {
    return join(this.#folder, 'blobs', sha256);
  }
}

function unknown(upload: string): UploadError {
  return new UploadError('UPLOAD_UNKNOWN', `nothing of ${upload} was offered here; offer it again`);
}

/** Links share their permission bits: a file that shall have others than its twin is one of its own. */
async function linkOrCopy(source: string, target: string, executable: boolean): Promise<void> {
  const { mode } = await stat(source);
  if (((mode & 0o100) !== 0) === executable) return await link(source, target);
  await copyFile(source, target);
  await chmod(target, executable ? 0o555 : 0o444);
}

/** Passes bytes on, and refuses what is beyond the end of the file. */
function atMost(limitBytes: number): (source: AsyncIterable<Buffer>) => AsyncGenerator<Buffer> {
  return async function* limited(source) {
    let passedBytes = 0;
    for await (const chunk of source) {
      passedBytes += chunk.length;
      if (passedBytes > limitBytes) {
        throw new UploadError('UPLOAD_DAMAGED', 'more bytes came than the file has: send it again');
      }
      yield chunk;
    }
  };
}
