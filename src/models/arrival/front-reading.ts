import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { FileDigest } from '../../lib/file-digests.ts';

/** Measured with 64 KiB to 1 MiB: a block has to be hashed while it still lies in the core's own cache. */
const BLOCK_BYTES = 256 * 1024;
const BLOCK = Buffer.allocUnsafeSlow(BLOCK_BYTES);

/** A file that is hashed from its start, as far as it is there. */
export class FrontReading {
  readonly #path: string;
  readonly #fd: number;
  readonly #hash = createHash('sha256');
  #atBytes = 0;

  /** @throws what opening throws */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'r');
  }

  /**
   * Hashes on, so many bytes at most.
   * @param toBytes how far the file is there
   * @returns whether it has come so far
   * @throws Error FILE_CHANGED when the file is shorter
   */
  step(toBytes: number, maxBytes: number): boolean {
    const end = Math.min(toBytes, this.#atBytes + maxBytes);
    while (this.#atBytes < end) {
      const wanted = Math.min(BLOCK_BYTES, end - this.#atBytes);
      const count = readSync(this.#fd, BLOCK, 0, wanted, this.#atBytes);
      if (count === 0) throw this.#changed();
      this.#hash.update(BLOCK.subarray(0, count));
      this.#atBytes += count;
    }
    return this.#atBytes === toBytes;
  }

  /** The digest of what was read, once. @throws Error FILE_CHANGED when there is another file under that name, or more in it */
  digest(): FileDigest {
    const read = fstatSync(this.#fd, { bigint: true });
    const there = statSync(this.#path, { bigint: true });
    const isSame = read.ino === there.ino && read.dev === there.dev;
    if (!isSame || Number(read.size) !== this.#atBytes) throw this.#changed();
    return { sizeBytes: this.#atBytes, sha256: this.#hash.digest('hex') };
  }

  close(): void {
    closeSync(this.#fd);
  }

  #changed(): Error {
    const message = `${this.#path} was changed by another program while it was fetched; apply again`;
    return Object.assign(new Error(message), { code: 'FILE_CHANGED' });
  }
}
