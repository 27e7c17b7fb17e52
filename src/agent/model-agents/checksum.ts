import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Checksum } from '../../cluster/spec/agents.ts';
import { codeOf, ServeError } from '../../lib/errors.ts';

/** A file does not hold what conf.ini says, or is not there. */
class ChecksumError extends ServeError<{ readonly code: 'CHECKSUM_MISMATCH' | 'CHECKSUM_NO_FILE' }> {
  override readonly name = 'ChecksumError';
}

const CHUNK_BYTES = 1024 ** 2;
const REMEMBERED = 1_024;
/** What files held, as long as inode, size and time of the last change are the same: restarts read nothing again. */
const known = new Map<string, string>();

/**
 * Sees that files hold what their checksums say.
 * @param location the model folder
 * @throws ChecksumError naming the file, what was expected, and what was found
 */
export async function verifyChecksums(location: string, checksums: readonly Checksum[]): Promise<void> {
  for (const { algorithm, path, expected } of checksums) {
    const found = await checksumOf(join(location, path), algorithm);
    if (found === null) {
      throw new ChecksumError(
        `agent checksum: ${algorithm}:${path}: there is no such file among the models of this deployment`,
        { code: 'CHECKSUM_NO_FILE' },
      );
    }
    if (found === expected) continue;
    throw new ChecksumError(
      `agent checksum: ${path} has another ${algorithm} than conf.ini says: expected ${expected}, found ${found}`,
      { code: 'CHECKSUM_MISMATCH' },
    );
  }
}

async function checksumOf(file: string, algorithm: string): Promise<string | null> {
  try {
    const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
    const key = [algorithm, dev, ino, size, mtimeNs].join(':');
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    const hash = createHash(algorithm.toLowerCase());
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES })) {
      hash.update(chunk as Buffer);
    }
    const digest = hash.digest('hex');
    const [oldest] = known.keys();
    if (known.size >= REMEMBERED && oldest !== undefined) known.delete(oldest);
    known.set(key, digest);
    return digest;
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(codeOf(error) ?? '')) return null;
    throw error;
  }
}
