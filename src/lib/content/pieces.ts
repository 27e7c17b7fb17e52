import type { Manifest } from './manifest.ts';

/** Big enough that a request costs nothing beside it, small enough that many nodes have some of a model early. */
const SMALL_PIECE_BYTES = 4 * 1024 ** 2;
const LARGE_PIECE_BYTES = 16 * 1024 ** 2;
const LARGE_FROM_BYTES = 16 * 1024 ** 3;

/** A part of a content: `index` counts pieces of one size, the last of which may be shorter. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
}

/** A part of one file of a content. */
export interface Segment extends Piece {
  /** index of the file in the manifest */
  readonly file: number;
}

/** How a content of this size is cut, the same on every node. */
export function pieceBytesFor(totalBytes: number): number {
  return totalBytes < LARGE_FROM_BYTES ? SMALL_PIECE_BYTES : LARGE_PIECE_BYTES;
}

export function pieceCount(totalBytes: number): number {
  return Math.ceil(totalBytes / pieceBytesFor(totalBytes));
}

export function pieceAt(index: number, totalBytes: number): Piece {
  const pieceBytes = pieceBytesFor(totalBytes);
  const offset = index * pieceBytes;
  return { offset, length: Math.min(pieceBytes, totalBytes - offset) };
}

/** Which parts of which files a range of a content is made of, in order; files without bytes have none. */
export function segmentsOf(files: Manifest, { offset, length }: Piece): readonly Segment[] {
  const segments: Segment[] = [];
  let start = 0;
  for (const [file, { sizeBytes }] of files.entries()) {
    const from = Math.max(offset, start);
    const to = Math.min(offset + length, start + sizeBytes);
    if (from < to) segments.push({ file, offset: from - start, length: to - from });
    start += sizeBytes;
    if (start >= offset + length) break;
  }
  return segments;
}

/** Which pieces of a content somebody has, or wants. */
export class PieceSet {
  readonly size: number;
  readonly #bits: Uint8Array;
  #count = 0;

  constructor(size: number) {
    this.size = size;
    this.#bits = new Uint8Array(Math.ceil(size / 8));
  }

  static full(size: number): PieceSet {
    const set = new PieceSet(size);
    for (let piece = 0; piece < size; piece += 1) set.add(piece);
    return set;
  }

  /** Reads what `encode` wrote; what does not fit the size is left out. */
  static decode(text: string, size: number): PieceSet {
    const bits = Buffer.from(text, 'base64');
    const set = new PieceSet(size);
    for (let piece = 0; piece < size; piece += 1) {
      if (((bits[piece >> 3] ?? 0) >> (piece & 7)) & 1) set.add(piece);
    }
    return set;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.size;
  }

  has(piece: number): boolean {
    return (((this.#bits[piece >> 3] ?? 0) >> (piece & 7)) & 1) === 1;
  }

  add(piece: number): void {
    if (piece < 0 || piece >= this.size || this.has(piece)) return;
    this.#bits[piece >> 3] = (this.#bits[piece >> 3] ?? 0) | (1 << (piece & 7));
    this.#count += 1;
  }

  delete(piece: number): void {
    if (!this.has(piece)) return;
    this.#bits[piece >> 3] = (this.#bits[piece >> 3] ?? 0) & ~(1 << (piece & 7));
    this.#count -= 1;
  }

  /** ascending */
  *members(): Generator<number> {
    for (let piece = 0; piece < this.size; piece += 1) if (this.has(piece)) yield piece;
  }

  encode(): string {
    return Buffer.from(this.#bits).toString('base64');
  }
}
