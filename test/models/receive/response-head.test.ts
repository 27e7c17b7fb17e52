import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeadReader, OddAnswer, type ResponseHead } from '../../../src/models/receive/response-head.ts';

function read(text: string, pieces: readonly number[] = []): { head: ResponseHead | null; rest: string } {
  const reader = new HeadReader();
  let bytes = Buffer.from(text, 'latin1');
  for (const length of [...pieces, text.length]) {
    const piece = Buffer.from(bytes.subarray(0, length));
    bytes = bytes.subarray(length);
    const found = reader.take(piece);
    piece.fill('x'); // what was given is used for something else at once
    if (found !== null) {
      const rest = text.slice(text.length - bytes.length - piece.length + found.usedBytes);
      return { head: found.head, rest };
    }
  }
  return { head: null, rest: '' };
}

const HEAD = 'HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: "a:b"\r\n\r\n';

describe('the head of an answer', () => {
  it('is the same wherever it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 30 }), (pieces) => {
        const { head, rest } = read(`HTTP/1.1 100 Continue\r\n\r\n${HEAD}hello`, pieces);
        expect(head).toMatchObject({ statusCode: 206, bodyBytes: 5, isPersistent: true });
        expect({ ...head?.headers }).toEqual({ 'content-length': '5', etag: '"a:b"' });
        expect(rest).toBe('hello');
      }),
    );
  });

  it.each<[string, string, Partial<ResponseHead>]>([
    [
      'a body in chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5',
      { bodyBytes: null },
    ],
    ['a body without a length', 'HTTP/1.1 200 OK\r\nX: 1', { bodyBytes: null }],
    ['an answer that has none', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5', { bodyBytes: 0 }],
    ['a connection that closes', 'HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close', { isPersistent: false }],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 5', { isPersistent: false, bodyBytes: 5 }],
    ['no reason', 'HTTP/1.1 503\r\nContent-Length: 0', { statusCode: 503, bodyBytes: 0 }],
    ['no headers', 'HTTP/1.1 200 OK', { statusCode: 200, bodyBytes: null }],
  ])('tells of %s', (_name, text, expected) => {
    expect(read(`${text}\r\n\r\n`).head).toMatchObject(expected);
  });

  it('is done with blanks as fast as with anything else', () => {
    const blanks = `HTTP/1.1 200 OK\r\nX: a${' '.repeat(60_000)}b \t\r\n\r\n`;
    for (let count = 0; count < 100; count += 1) {
      expect(read(blanks).head?.headers['x']).toHaveLength(60_002);
    }
  });

  it('joins headers of one name, and takes no name for something else', () => {
    const { head } = read('HTTP/1.1 200 OK\r\nVia: a\r\nvia:b \r\n__proto__: c\r\n\r\n');
    expect(Object.entries(head?.headers ?? {})).toEqual([
      ['via', 'a, b'],
      ['__proto__', 'c'],
    ]);
  });

  it.each([
    ['what is no answer', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['another HTTP', 'HTTP/2 200\r\n\r\n'],
    ['a header that is none', 'HTTP/1.1 200 OK\r\nno colon\r\n\r\n'],
    ['a header over two lines', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n'],
    ['a head without an end', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(70_000)}`],
  ])('leaves %s to another client', (_name, text) => {
    expect(() => read(text)).toThrow(OddAnswer);
  });
});
