import type { ResponseHead } from './response-head.ts';

/** Of what a server says when it refuses. */
const MAX_BYTES = 64 * 1024;

/** What a server says in place of a part, as far as it is worth reading. */
export class RefusalText {
  /** null: chunked */
  readonly #bodyBytes: number | null;
  #raw = Buffer.alloc(0);

  private constructor(bodyBytes: number | null) {
    this.#bodyBytes = bodyBytes;
  }

  /** @returns null where the end of the text would be the connection's, or is far */
  static of({ bodyBytes, headers }: ResponseHead): RefusalText | null {
    if (bodyBytes !== null) return bodyBytes > MAX_BYTES ? null : new RefusalText(bodyBytes);
    return headers['transfer-encoding']?.toLowerCase() === 'chunked' ? new RefusalText(null) : null;
  }

  /** @param bytes is not kept */
  add(bytes: Uint8Array): void {
    this.#raw = Buffer.concat([this.#raw, bytes]);
  }

  get isWhole(): boolean {
    if (this.#bodyBytes !== null) return this.#raw.length >= this.#bodyBytes;
    return (
      this.#raw.length > MAX_BYTES || /(?:^|\r\n)0\r\n\r\n$/.test(this.#raw.subarray(-7).toString('latin1'))
    );
  }

  /** Whether it ended where it was to end: another answer may follow. */
  get isExact(): boolean {
    return this.#raw.length === this.#bodyBytes;
  }

  toString(): string {
    if (this.#bodyBytes !== null) return this.#raw.subarray(0, this.#bodyBytes).toString('utf8');
    const parts: Buffer[] = [];
    for (let at = 0; ; ) {
      const end = this.#raw.indexOf('\r\n', at);
      const size = end < 0 ? 0 : Number.parseInt(this.#raw.toString('latin1', at, end), 16) || 0;
      if (size === 0) return Buffer.concat(parts).toString('utf8');
      parts.push(this.#raw.subarray(end + 2, end + 2 + size));
      at = end + 2 + size + 2;
    }
  }
}
