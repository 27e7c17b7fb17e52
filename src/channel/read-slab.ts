/** While reads are small: as much as libuv would allocate, and cut down, for each of them. */
const SMALL_BYTES = 64 * 1024;
/** While bodies come: several frames in one read, and an allocation for each half a megabyte. */
const LARGE_BYTES = 512 * 1024;
/** A read of so much is a body. */
const BODY_BYTES = 16 * 1024;

/**
 * The memory that a connection reads into, one read behind the other: what was received stays where it came. A slab is
 * collected when nothing holds a view of it any more.
 */
export class ReadSlab {
  #slab = Buffer.allocUnsafeSlow(SMALL_BYTES);
  #usedBytes = 0;
  #hasBody = false;

  /** Where the next read goes. */
  room(): Buffer {
    if (this.#slab.length - this.#usedBytes < this.#slab.length / 4) {
      this.#slab = Buffer.allocUnsafeSlow(this.#hasBody ? LARGE_BYTES : SMALL_BYTES);
      this.#usedBytes = 0;
      this.#hasBody = false;
    }
    return this.#slab.subarray(this.#usedBytes);
  }

  /** The `bytes` that were read into `room`. */
  taken(bytes: number): Buffer {
    const begin = this.#usedBytes;
    this.#usedBytes += bytes;
    if (bytes >= BODY_BYTES) this.#hasBody = true;
    return this.#slab.subarray(begin, this.#usedBytes);
  }
}
