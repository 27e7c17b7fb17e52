import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ServeError } from './errors.ts';
import { readIfThere, writeDurably } from './files.ts';
import { sha256 } from './hash.ts';

/** What a file held when it was read from start to end. */
export interface FileDigest {
  readonly sizeBytes: number;
  readonly sha256: string;
}

interface DigestOptions {
  /** gets the bytes as they are hashed: what is written is exactly what the digest speaks of */
  readonly copyTo?: FileHandle;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** A file was written to while it was read. */
export class FileChangedError extends ServeError<{ readonly code: 'FILE_CHANGED'; readonly path: string }> {
  override readonly name = 'FileChangedError';
}

const CHUNK_BYTES = 1024 ** 2;
/** Hashing less than this takes no longer than looking a digest up. */
const CACHED_FROM_BYTES = 1024 ** 2;
/** A write so soon after the last one may leave the same timestamps (network file systems count in seconds). */
const SETTLED_AFTER_MS = 2_000;

/**
 * Reads a file once and says what it held.
 * @throws FileChangedError when it was written to meanwhile
 */
export async function digestFile(path: string, options: DigestOptions = {}): Promise<FileDigest> {
  const file = await open(path, 'r');
  try {
    const before = await file.stat({ bigint: true });
    const digest = await readThrough(file, Number(before.size), options);
    const after = await file.stat({ bigint: true });
    if (identityOf(before) !== identityOf(after) || digest.sizeBytes !== Number(before.size)) {
      throw new FileChangedError(`${path} changed while it was read; apply again once it is complete`, {
        code: 'FILE_CHANGED',
        path,
      });
    }
    return digest;
  } finally {
    await file.close();
  }
}

/**
 * As digestFile, but a file that has not changed since its digest was last asked for is not read again. Each file has
 * an entry of its own in `cacheDir`, so that processes that share it never undo each other's work.
 * @throws FileChangedError when the file was written to meanwhile
 */
export async function cachedDigest(
  path: string,
  cacheDir: string,
  onProgress?: DigestOptions['onProgress'],
): Promise<FileDigest> {
  const options = onProgress === undefined ? {} : { onProgress };
  const status = await stat(path, { bigint: true });
  const sizeBytes = Number(status.size);
  if (sizeBytes < CACHED_FROM_BYTES) return digestFile(path, options);
  const identity = identityOf(status);
  const entryPath = join(cacheDir, `${sha256(path)}.json`);
  const remembered = digestIn(await readIfThere(entryPath), identity);
  if (remembered !== null) return { sizeBytes, sha256: remembered };
  const digest = await digestFile(path, options);
  if (Date.now() - Number(status.ctimeMs) > SETTLED_AFTER_MS) {
    await writeDurably(entryPath, JSON.stringify({ path, identity, sha256: digest.sha256 }));
  }
  return digest;
}

/** Changes with every write; the change time is in it because a copy can carry the old modification time over. */
function identityOf(status: BigIntStats): string {
  return [status.ino, status.size, status.mtimeNs, status.ctimeNs].join(':');
}

function digestIn(entry: string | null, identity: string): string | null {
  if (entry === null) return null;
  try {
    const remembered: unknown = JSON.parse(entry);
    if (typeof remembered !== 'object' || remembered === null) return null;
    if (!('identity' in remembered) || remembered.identity !== identity) return null;
    return 'sha256' in remembered && typeof remembered.sha256 === 'string' ? remembered.sha256 : null;
  } catch {
    return null; // half an entry is no entry: the file is read again
  }
}

async function readThrough(
  file: FileHandle,
  totalBytes: number,
  options: DigestOptions,
): Promise<FileDigest> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, totalBytes + 1));
  let sizeBytes = 0;
  while (true) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') };
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    await options.copyTo?.writeFile(chunk);
    sizeBytes += bytesRead;
    options.onProgress?.(sizeBytes, totalBytes);
  }
}
