import type { AnswerHead } from './types.ts';

/** The head of an HTTP/1.1 answer, and how its body is framed. */
export interface ResponseHead extends AnswerHead {
  readonly headers: Readonly<Record<string, string>>;
  /** null: chunked, or until the connection ends */
  readonly bodyBytes: number | null;
  /** whether another request may follow on the connection */
  readonly isPersistent: boolean;
}

/** An answer that is left to a full HTTP client. */
export class OddAnswer extends Error {}

const MAX_HEAD_BYTES = 64 * 1024;
const END = '\r\n\r\n';

/** Reads heads of answers from what comes on a connection, wherever that is cut. */
export class HeadReader {
  #begun: Buffer | null = null;

  /**
   * Takes what has come. Heads of status 1xx are left out: another follows.
   * @param bytes is not kept
   * @returns null: the head goes on; else it, and how many of these bytes belong to it
   * @throws OddAnswer
   */
  take(bytes: Buffer): { readonly head: ResponseHead; readonly usedBytes: number } | null {
    const before = this.#begun?.length ?? 0;
    const all = this.#begun === null ? bytes : Buffer.concat([this.#begun, bytes]);
    for (let from = 0; ; ) {
      const end = all.indexOf(END, from, 'latin1');
      if (end < 0) {
        if (all.length - from > MAX_HEAD_BYTES) throw new OddAnswer('a head without an end');
        this.#begun = Buffer.from(all.subarray(from));
        return null;
      }
      const head = parseHead(all.toString('latin1', from, end));
      from = end + END.length;
      if (head.statusCode >= 200) {
        this.#begun = null;
        return { head, usedBytes: from - before };
      }
    }
  }
}

function parseHead(text: string): ResponseHead {
  const [first = '', ...lines] = text.split('\r\n');
  const [, minor, status] = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first) ?? [];
  if (status === undefined) throw new OddAnswer('no HTTP/1.1');
  const headers = headersIn(lines);
  const statusCode = Number(status);
  const connection = (headers['connection'] ?? '').toLowerCase();
  return {
    ...{ statusCode, headers, bodyBytes: bodyBytesOf(statusCode, headers) },
    isPersistent: minor === '1' && !/\bclose\b/.test(connection),
  };
}

function headersIn(lines: readonly string[]): Readonly<Record<string, string>> {
  const headers: Record<string, string> = Object.create(null);
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+\-.^_`|~\w]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new OddAnswer('a header that is none');
    const key = name.toLowerCase();
    // Not in the expression: one that looks for the blanks at the end takes seconds for 64 KiB of them.
    const text = value.trim();
    headers[key] = headers[key] === undefined ? text : `${headers[key]}, ${text}`;
  }
  return headers;
}

function bodyBytesOf(statusCode: number, headers: Readonly<Record<string, string>>): number | null {
  if (statusCode === 204 || statusCode === 304) return 0;
  if (headers['transfer-encoding'] !== undefined) return null;
  const length = headers['content-length'];
  if (length === undefined) return null;
  // Two lengths that differ ("5, 6") are a way to smuggle answers; two that agree are not worth the trouble either.
  if (!/^\d{1,15}$/.test(length)) throw new OddAnswer('a length that is none');
  return Number(length);
}
