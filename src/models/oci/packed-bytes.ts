import { type FileHandle, open, rm, stat } from 'node:fs/promises';

const BLOCK_BYTES = 1024 ** 2;

/**
 * The bytes of a layer as the registry sends them, kept beside what is unpacked of them until that is whole: neither a hash nor
 * an unpacker can be taken up in the middle, so a fetch that was killed reads them again and asks only for the rest.
 * Nothing is written through to the disk: what a power cut takes shows by the layer's digest.
 */
export class PackedBytes {
  /** of earlier runs */
  readonly heldBytes: number;
  readonly #path: string;
  readonly #file: FileHandle;

  private constructor(path: string, file: FileHandle, heldBytes: number) {
    this.#path = path;
    this.#file = file;
    this.heldBytes = heldBytes;
  }

  /** Those at a path, or the first ones. */
  static async open(path: string): Promise<PackedBytes> {
    const file = await open(path, 'a+', 0o600);
    return new PackedBytes(path, file, (await file.stat()).size);
  }

  /** How many are at a path. */
  static async sizeAt(path: string): Promise<number> {
    return (await stat(path).catch(() => null))?.size ?? 0;
  }

  /** What earlier runs have left, in order. */
  async *held(): AsyncGenerator<Buffer> {
    const block = Buffer.allocUnsafe(BLOCK_BYTES);
    for (let at = 0; at < this.heldBytes; ) {
      const wanted = Math.min(BLOCK_BYTES, this.heldBytes - at);
      const { bytesRead } = await this.#file.read(block, 0, wanted, at);
      if (bytesRead === 0) return; // somebody has cut it off: the digest shows it
      at += bytesRead;
      yield Buffer.from(block.subarray(0, bytesRead));
    }
  }

  /** Adds what comes next. */
  async add(bytes: Buffer): Promise<void> {
    await this.#file.appendFile(bytes);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Removes them. */
  async discard(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}
