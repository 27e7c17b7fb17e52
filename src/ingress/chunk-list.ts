/** Chunks up to this are merged: a client that sends single bytes must not cost a Buffer for each. */
const MERGE_BELOW_BYTES = 16 * 1024;

/** Bytes in the order they came, without copying large ones. */
export class ChunkList {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(chunk: Buffer): void {
    this.#length += chunk.length;
    let last = chunk;
    // Only neighbours of similar size are merged, so that each byte is copied a logarithmic number of times.
    for (let before = this.#chunks.at(-1); before !== undefined; before = this.#chunks.at(-1)) {
      if (before.length > MERGE_BELOW_BYTES || before.length > 2 * last.length) break;
      this.#chunks.pop();
      last = Buffer.concat([before, last]);
    }
    this.#chunks.push(last);
  }

  /** Some bytes from `offset` on, at most `maxBytes`, none at the end; a view, not a copy. */
  view(offset: number, maxBytes: number): Buffer {
    let skip = offset;
    for (const chunk of this.#chunks) {
      if (skip < chunk.length) return chunk.subarray(skip, skip + maxBytes);
      skip -= chunk.length;
    }
    return Buffer.alloc(0);
  }

  /** Forgets the first `bytes`. */
  drop(bytes: number): void {
    let left = Math.min(bytes, this.#length);
    this.#length -= left;
    for (let first = this.#chunks[0]; first !== undefined && left > 0; first = this.#chunks[0]) {
      if (first.length > left) {
        this.#chunks[0] = first.subarray(left);
        return;
      }
      left -= first.length;
      this.#chunks.shift();
    }
  }
}
