import { randomBytes } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sha256 } from '../../../src/lib/hash.ts';
import { Exchange } from '../../../src/models/sources/exchange.ts';
import { RemoteSource } from '../../../src/models/sources/remote-source.ts';
import type { ByteRange, RemoteFile } from '../../../src/models/sources/types.ts';
import { etagOf, startWebServer, type WebServer } from '../web-server.ts';

const IMPATIENT = { attempts: 3, backoffMs: 5, silenceMs: 500 };
const content = randomBytes(300_000);
const file: RemoteFile = {
  ...{ key: 'm.bin', sizeBytes: content.length, version: etagOf(content), hasRanges: true },
};
const PART = { offset: 1000, length: 200_000 };

async function open(shared = true) {
  const web = await startWebServer();
  web.files.set('/m.bin', content);
  const exchange = new Exchange({}, IMPATIENT);
  onTestFinished(async () => await exchange.close());
  const source = new RemoteSource(
    {
      place: `${web.url}/`,
      object: (key) => ({ origin: web.url, path: `/${key}`, query: [], headers: {} }),
      listing: null,
      sign: async ({ headers }) => ({ ...headers, authorization: 'secret' }),
      presign: async (request) => request,
      renew: async () => false,
      hint: () => 'try a key',
    },
    exchange,
  );
  const get = async (range: ByteRange | null = PART, of = file) => {
    const length = range?.length ?? content.length;
    const memory = shared ? new Uint8Array(new SharedArrayBuffer(length)) : new Uint8Array(length);
    let counted = 0;
    const options = { signal: new AbortController().signal, onBytes: (count: number) => (counted += count) };
    const end = await source.readInto(of, range, { memory }, options);
    return { end, counted, sha256: sha256(Buffer.from(memory)) };
  };
  return { web, get };
}

/** Spoils the first request. */
function spoilFirst(web: WebServer, trouble: WebServer['trouble']): void {
  let seen = 0;
  web.trouble = (request, response) => {
    seen += 1;
    return seen === 1 && trouble(request, response);
  };
}

const part = content.subarray(PART.offset, PART.offset + PART.length);
const whole = { end: PART.offset + PART.length, counted: PART.length, sha256: sha256(part) };

describe('reading a part into its place', () => {
  it.each([true, false])('gives its bytes with one request (on another thread: %s)', async (shared) => {
    const { web, get } = await open(shared);
    expect(await get()).toEqual(whole);
    expect(web.requests).toEqual(['/m.bin bytes=1000-200999']);
  });

  it('gives a whole file where no part can be asked for', async () => {
    const { get } = await open();
    expect(await get(null)).toEqual({
      end: content.length,
      counted: content.length,
      sha256: sha256(content),
    });
  });

  it('asks for the rest alone after a connection broke', async () => {
    const { web, get } = await open();
    spoilFirst(web, (_request, response) => {
      const headers = {
        'content-range': `bytes 1000-200999/${content.length}`,
        'content-length': PART.length,
      };
      response.writeHead(206, headers);
      response.write(part.subarray(0, 60_000), () => response.destroy());
      return true;
    });
    expect(await get()).toEqual(whole);
    expect(web.requests).toHaveLength(2);
    expect(Number(/bytes=(\d+)-200999/.exec(web.requests[1] ?? '')?.[1])).toBeGreaterThan(1000);
  });

  it('takes a body in chunks by the full client, and no longer tries without it', async () => {
    const { web, get } = await open();
    web.trouble = (request, response) => {
      const [, from = 0, to = 0] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '')?.map(Number) ?? [];
      const headers = { 'content-range': `bytes ${from}-${to}/${content.length}` };
      response.writeHead(206, { ...headers, 'transfer-encoding': 'chunked' });
      response.end(content.subarray(from, to + 1));
      return true;
    };
    expect(await get()).toEqual(whole);
    expect(await get()).toEqual(whole);
    expect(web.requests).toHaveLength(3);
  });

  it('has what it asked for where a connection breaks after its last byte, and asks for nothing more', async () => {
    const { web, get } = await open();
    web.trouble = (_request, response) => {
      const range = `bytes 1000-200999/${content.length}`;
      response.writeHead(206, { 'content-range': range, 'transfer-encoding': 'chunked' });
      response.write(part, () => response.socket?.end());
      return true;
    };
    expect(await get()).toEqual(whole);
    expect(new Set(web.requests)).toEqual(new Set(['/m.bin bytes=1000-200999']));
  });

  it('follows a redirect, and tells another host nothing secret', async () => {
    const { web, get } = await open();
    const other = await startWebServer();
    other.files.set('/there', content);
    const secrets: unknown[] = [];
    other.trouble = (request) => {
      secrets.push(request.headers.authorization);
      return false;
    };
    web.trouble = (_request, response) =>
      response.writeHead(302, { location: `${other.url}/there` }).end('moved') !== null;
    expect(await get()).toEqual(whole);
    expect(secrets).toEqual([undefined]);
    web.trouble = (_request, response) => response.writeHead(302, { location: '/m.bin' }).end() !== null;
    await expect(get()).rejects.toThrow(/answers more than 5 redirects$/);
  });

  it.each<[string, WebServer['trouble'], object]>([
    [
      'a refusal in its words',
      (_request, response) =>
        response.writeHead(403).end('<Error><Code>Denied</Code><Message>no</Message></Error>') !== null,
      { code: 'SOURCE_REFUSED', message: expect.stringMatching(/403 Denied: no; try a key$/) },
    ],
    [
      'a server that cannot, in its words',
      (_request, response) =>
        response.writeHead(503).end('<Error><Code>SlowDown</Code><Message>later</Message></Error>') !== null,
      { code: 'SOURCE_FAILED', message: expect.stringMatching(/503 SlowDown: later, 3 times in a row$/) },
    ],
    [
      'a server that stalls',
      () => true,
      { code: 'SOURCE_FAILED', message: expect.stringMatching(/the server has stalled/) },
    ],
    [
      'a file that is gone',
      (_request, response) => response.writeHead(404).end() !== null,
      { code: 'SOURCE_CHANGED' },
    ],
  ])('says of %s', async (_name, trouble, error) => {
    const { web, get } = await open();
    web.trouble = trouble;
    await expect(get()).rejects.toMatchObject(error);
  });

  it('never takes bytes of another file', async () => {
    const { web, get } = await open();
    web.files.set('/m.bin', randomBytes(content.length));
    await expect(get()).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
    await expect(get(PART, { ...file, version: 'Fri, 20 Nov 2026' })).rejects.toMatchObject({
      code: 'SOURCE_CHANGED',
    });
  });
});
