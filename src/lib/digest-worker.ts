import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';
import { codeOf, messageOf } from './errors.ts';
import { identityOf } from './file-identity.ts';

/** A file to read from start to end. */
export interface DigestTask {
  readonly path: string;
  /** where its bytes are written as they are hashed: a file that must not be there yet, with these permission bits */
  readonly copy?: { readonly path: string; readonly mode: number };
}

/** What a thread can say of a file: errors lose their fields on the way between threads. */
export type DigestOutcome =
  | { readonly sizeBytes: number; readonly sha256: string; readonly identity: string }
  | { readonly failure: { readonly code: string; readonly message: string } };

/** Measured with 64 KiB to 1 MiB: a block has to be hashed while it still lies in the core's own cache. */
const CHUNK_BYTES = 256 * 1024;
const buffer = Buffer.allocUnsafe(CHUNK_BYTES);

/** Entry of a thread of the digest pool. Reads one file after the other, without leaving the thread in between. */
export function digestFiles(tasks: readonly DigestTask[]): readonly DigestOutcome[] {
  return tasks.map((task) => {
    try {
      return digestOne(task);
    } catch (error) {
      return { failure: { code: codeOf(error) ?? 'UNKNOWN', message: messageOf(error) } };
    }
  });
}

function digestOne({ path, copy }: DigestTask): DigestOutcome {
  const file = openSync(path, 'r');
  try {
    const before = fstatSync(file, { bigint: true });
    const copyFile = copy === undefined ? null : openSync(copy.path, 'wx', 0o600);
    try {
      const digest = readThrough(file, copyFile);
      requireUnchanged(path, before, {
        after: fstatSync(file, { bigint: true }),
        readBytes: digest.sizeBytes,
      });
      if (copyFile !== null && copy !== undefined) {
        fchmodSync(copyFile, copy.mode);
        fsyncSync(copyFile);
      }
      return { ...digest, identity: identityOf(before) };
    } finally {
      if (copyFile !== null) closeSync(copyFile);
    }
  } finally {
    closeSync(file);
  }
}

function readThrough(
  file: number,
  copy: number | null,
): { readonly sizeBytes: number; readonly sha256: string } {
  const hash = createHash('sha256');
  for (let sizeBytes = 0; ; ) {
    const bytesRead = readSync(file, buffer, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return { sizeBytes, sha256: hash.digest('hex') };
    hash.update(buffer.subarray(0, bytesRead));
    for (let written = 0; copy !== null && written < bytesRead; ) {
      written += writeSync(copy, buffer, written, bytesRead - written);
    }
    sizeBytes += bytesRead;
  }
}

function requireUnchanged(
  path: string,
  before: BigIntStats,
  { after, readBytes }: { readonly after: BigIntStats; readonly readBytes: number },
): void {
  if (identityOf(before) === identityOf(after) && readBytes === Number(before.size)) return;
  const message = `${path} changed while it was read; apply again once it is complete`;
  throw Object.assign(new Error(message), { code: 'FILE_CHANGED' });
}
