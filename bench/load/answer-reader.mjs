// Reads HTTP/1.1 answers from a socket as cheaply as a load generator should: status, then the end of the body.
const HEAD_END = Buffer.from('\r\n\r\n');
const EMPTY = Buffer.alloc(0);
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** One connection's answers, one after the other. */
export class AnswerReader {
  /** @type {Buffer} */
  #kept = EMPTY;
  /** bytes of the body that are still to come; null: the head is not complete; -1: the body is chunked */
  #left = null;
  #status = 0;
  #onAnswer;

  /** @param {(status: number) => void} onAnswer called at the end of each answer */
  constructor(onAnswer) {
    this.#onAnswer = onAnswer;
  }

  /** @param {Buffer} part as it came from the socket */
  read(part) {
    if (this.#left !== null && this.#left > 0) {
      this.#left -= part.length;
      if (this.#left === 0) this.#finish();
      else if (this.#left < 0) throw new Error('more bytes than the answer announced');
      return;
    }
    this.#kept = this.#kept.length === 0 ? part : Buffer.concat([this.#kept, part]);
    if (this.#left === null) this.#readHead();
    if (this.#left === -1) this.#readChunks();
  }

  #readHead() {
    const end = this.#kept.indexOf(HEAD_END);
    if (end < 0) return;
    const head = this.#kept.toString('latin1', 0, end).toLowerCase();
    this.#kept = this.#kept.subarray(end + HEAD_END.length);
    this.#status = Number(head.slice(9, 12));
    const length = head.match(/\r\ncontent-length: *(\d+)/)?.[1];
    if (length === undefined && !/\r\ntransfer-encoding: *chunked/.test(head)) {
      throw new Error('an answer without a length');
    }
    this.#left = length === undefined ? -1 : Number(length) - this.#kept.length;
    if (length === undefined) return;
    this.#kept = EMPTY;
    if (this.#left === 0) this.#finish();
  }

  /** Chunks are walked through by their lengths; only what belongs to an unfinished one is kept. */
  #readChunks() {
    let at = 0;
    for (;;) {
      const lineEnd = this.#kept.indexOf('\r\n', at);
      if (lineEnd < 0) break;
      const size = Number.parseInt(this.#kept.toString('latin1', at, lineEnd), 16);
      const next = lineEnd + 2 + size + 2;
      if (next > this.#kept.length) break;
      if (size === 0) {
        this.#kept = this.#kept.subarray(at + LAST_CHUNK.length);
        this.#finish();
        return;
      }
      at = next;
    }
    this.#kept = this.#kept.subarray(at);
  }

  #finish() {
    this.#left = null;
    this.#onAnswer(this.#status);
  }
}
