import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runDigests } from './digest-pool.ts';
import type { DigestOutcome } from './digest-worker.ts';
import { ServeError } from './errors.ts';
import { identityOf } from './file-identity.ts';
import { readIfThere, writeDurably } from './files.ts';
import { sha256 } from './hash.ts';
import type { TreeFile } from './tree.ts';

/** What a file held when it was read from start to end. */
export interface FileDigest {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A file to be copied: the digest speaks of the bytes that were written. */
export interface DigestedCopy {
  readonly source: string;
  readonly sizeBytes: number;
  /** must not be there yet */
  readonly target: string;
  readonly executable: boolean;
}

/** A file was written to while it was read. */
export class FileChangedError extends ServeError<{ readonly code: 'FILE_CHANGED'; readonly path: string }> {
  override readonly name = 'FileChangedError';
}

/** Hashing less than this takes no longer than looking a digest up. */
const CACHED_FROM_BYTES = 1024 ** 2;
/** A write so soon after the last one may leave the same timestamps (network file systems count in seconds). */
const SETTLED_AFTER_MS = 2_000;

/**
 * Reads a file once, on a thread, and says what it held.
 * @throws FileChangedError when it was written to meanwhile
 */
export async function digestFile(path: string): Promise<FileDigest> {
  const [outcome] = await runDigests([{ path, expectedBytes: 0 }]);
  return digestIn(path, outcome);
}

/**
 * Copies files, read-only and written through to the disk; what is hashed is what is written.
 * @returns their digests, in order
 * @throws FileChangedError when one was written to meanwhile
 */
export async function copyDigested(copies: readonly DigestedCopy[]): Promise<readonly FileDigest[]> {
  const outcomes = await runDigests(
    copies.map(({ source, sizeBytes, target, executable }) => ({
      path: source,
      copy: { path: target, mode: executable ? 0o555 : 0o444 },
      expectedBytes: sizeBytes,
    })),
  );
  return copies.map(({ source }, index) => digestIn(source, outcomes[index]));
}

/**
 * As digestFile, but a file that has not changed since its digest was last asked for is not read again. Each file has
 * an entry of its own in `cacheDir`, so that processes that share it never undo each other's work.
 * @throws FileChangedError when the file was written to meanwhile
 */
export async function cachedDigest(path: string, cacheDir: string): Promise<FileDigest> {
  const status = await stat(path, { bigint: true });
  const sizeBytes = Number(status.size);
  if (sizeBytes < CACHED_FROM_BYTES) return digestFile(path);
  const identity = identityOf(status);
  const entryPath = join(cacheDir, `${sha256(path)}.json`);
  const remembered = parsedEntry(await readIfThere(entryPath));
  if (remembered?.['identity'] === identity && typeof remembered['sha256'] === 'string') {
    return { sizeBytes, sha256: remembered['sha256'] };
  }
  const digest = await digestFile(path);
  if (isSettled(Number(status.ctimeMs))) {
    await writeDurably(entryPath, JSON.stringify({ path, identity, sha256: digest.sha256 }));
  }
  return digest;
}

/**
 * The digests of a folder's files, small ones as well: those that look as they did when they were hashed last are not
 * read again. One entry in `cacheDir` speaks of the whole folder; without one every file is read.
 * @param root names the folder in the cache
 * @throws FileChangedError when a file was written to meanwhile
 */
export async function digestTree(
  root: string,
  files: readonly TreeFile[],
  cacheDir: string | null,
): Promise<readonly (TreeFile & FileDigest)[]> {
  const entryPath = cacheDir === null ? null : join(cacheDir, `${sha256(root)}.tree.json`);
  const known = entryPath === null ? {} : (parsedEntry(await readIfThere(entryPath)) ?? {});
  const remembered = (file: TreeFile): string | null => {
    const [identity, hash] = pairIn(known[file.path]);
    return identity === file.identity ? hash : null;
  };
  const unknown = files.filter((file) => remembered(file) === null);
  const outcomes = await runDigests(
    unknown.map((file) => ({ path: file.source, expectedBytes: file.sizeBytes })),
  );
  const read = new Map(unknown.map((file, index) => [file, digestIn(file.source, outcomes[index])]));
  const digested = files.map((file) => {
    const digest = read.get(file) ?? { sizeBytes: file.sizeBytes, sha256: remembered(file) ?? '' };
    return { ...file, ...digest };
  });
  if (entryPath !== null && unknown.length > 0) await rememberTree(entryPath, digested);
  return digested;
}

async function rememberTree(path: string, files: readonly (TreeFile & FileDigest)[]): Promise<void> {
  const settled = files.filter((file) => isSettled(file.changedAtMs));
  const entry = Object.fromEntries(settled.map((file) => [file.path, [file.identity, file.sha256]]));
  await writeDurably(path, JSON.stringify(entry));
}

function isSettled(changedAtMs: number): boolean {
  return Date.now() - changedAtMs > SETTLED_AFTER_MS;
}

function digestIn(path: string, outcome: DigestOutcome | undefined): FileDigest {
  if (outcome === undefined) throw new ServeError(`${path} was not hashed`, { code: 'INTERNAL' });
  if (!('failure' in outcome)) return { sizeBytes: outcome.sizeBytes, sha256: outcome.sha256 };
  const { code, message } = outcome.failure;
  if (code === 'FILE_CHANGED') throw new FileChangedError(message, { code, path });
  throw Object.assign(new Error(message), { code });
}

function parsedEntry(text: string | null): Readonly<Record<string, unknown>> | null {
  if (text === null) return null;
  try {
    const entry: unknown = JSON.parse(text);
    return typeof entry === 'object' && entry !== null ? (entry as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null; // half an entry is no entry: the file is read again
  }
}

function pairIn(value: unknown): readonly [string | null, string | null] {
  if (!Array.isArray(value)) return [null, null];
  const [identity, hash]: readonly unknown[] = value;
  return typeof identity === 'string' && typeof hash === 'string' ? [identity, hash] : [null, null];
}
