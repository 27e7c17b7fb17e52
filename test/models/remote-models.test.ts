import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startWebServer, type WebServer } from './web-server.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const IMPATIENT = { attempts: 3, backoffMs: 5, silenceMs: 1_000 };
const waiting = { isDryRun: false, signal: new AbortController().signal };
const PATH = '/models/m.bin';

async function open() {
  const web = await startWebServer();
  const dir = tempDir();
  const [partialDir, digestsDir, filesDir] = ['partial', 'digests', 'models'].map((name) =>
    join(dir, name),
  ) as [string, string, string];
  const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir });
  const make = () =>
    new RemoteModels(
      { variables: {}, partialDir, digestsDir, exchange: IMPATIENT },
      { store, log: silentLog },
    );
  const models = make();
  const names = (folder: string): readonly string[] => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  };
  const get = async (how = waiting) => await models.obtain(`${web.url}${PATH}`, how);
  return { web, models, make, get, kept: () => names(filesDir), partial: () => names(partialDir) };
}

/** Spoils the n-th of the requests for more than the first byte. */
function spoil(web: WebServer, nth: number, trouble: WebServer['trouble']): void {
  let seen = 0;
  web.trouble = (request, response) => {
    if (request.headers.range === 'bytes=0-0') return false;
    seen += 1;
    return seen === nth && trouble(request, response);
  };
}

describe('a model on a web server', () => {
  const content = randomBytes(20 * 1024 ** 2 + 17);

  it('is fetched in parts and kept by its hash; unchanged it is not fetched again', async () => {
    const { web, get, make, kept, partial } = await open();
    web.files.set(PATH, content);
    const { pin, content: stored } = await get();
    expect(pin).toEqual({ name: 'm.bin', sizeBytes: content.length, sha256: sha(content) });
    expect(sha(readFileSync(stored.root))).toBe(sha(content));
    expect(web.requests.filter((line) => !line.endsWith('bytes=0-0'))).toHaveLength(3);
    expect([kept(), partial()]).toEqual([[sha(content)], []]);
    web.requests.length = 0;
    const again = await make().obtain(`${web.url}${PATH}`, waiting);
    expect(again.pin).toEqual(pin);
    expect(web.requests).toEqual([`${PATH} bytes=0-0`]);
  });

  it('shows in a dry run that it has changed, and fetches nothing', async () => {
    const { web, get } = await open();
    web.files.set(PATH, Buffer.from('one'));
    const first = await get();
    const look = { ...waiting, isDryRun: true };
    expect((await get(look)).pin).toEqual(first.pin);
    web.files.set(PATH, Buffer.from('two'));
    web.requests.length = 0;
    expect((await get(look)).pin.sha256).not.toBe(first.pin.sha256);
    expect(web.requests).toEqual([`${PATH} bytes=0-0`]);
    expect((await get()).pin.sha256).toBe(sha(Buffer.from('two')));
  });

  it.each<[string, WebServer['trouble']]>([
    ['a 503', (_request, response) => response.writeHead(503).end() !== null],
    [
      'a body that ends early',
      (_request, response) => {
        response.writeHead(206, {
          'content-range': `bytes 0-8388607/${content.length}`,
          'content-length': 8388608,
        });
        response.write(content.subarray(0, 100_000), () => response.destroy());
        return true;
      },
    ],
    [
      'a server that stalls half-way',
      (_request, response) => {
        response.writeHead(206, { 'content-range': `bytes 0-8388607/${content.length}` });
        response.write(content.subarray(0, 100_000));
        return true;
      },
    ],
    ['a server that says nothing at all', () => true],
  ])('comes whole in spite of %s', async (_name, trouble) => {
    const { web, get } = await open();
    web.files.set(PATH, content);
    spoil(web, 1, trouble);
    expect((await get()).pin.sha256).toBe(sha(content));
  });

  it('goes on after the server was killed half-way, and asks for no part twice', async () => {
    const { web, models, get, kept } = await open();
    web.files.set(PATH, content);
    let parts = 0;
    let firstBytes = 0;
    web.trouble = (request, response) => {
      if (request.headers.range === 'bytes=0-0') return false;
      parts += 1;
      const [, from = 0, to = 0] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '')?.map(Number) ?? [];
      if (parts === 1) firstBytes = to - from + 1;
      if (parts === 1) return false;
      const hasFirst = (): boolean => (models.running[0]?.fetchedBytes ?? 0) >= firstBytes;
      const waiting = setInterval(() => hasFirst() && response.destroy() && clearInterval(waiting), 10);
      return true;
    };
    await expect(get()).rejects.toMatchObject({ code: 'SOURCE_FAILED' });
    expect([kept(), models.running]).toEqual([[], []]);
    web.trouble = () => false;
    web.sentBytes = 0;
    expect((await get()).pin.sha256).toBe(sha(content));
    expect(web.sentBytes).toBeLessThan(content.length);
  });

  it('starts over when it is replaced meanwhile, and gives up when that happens again', async () => {
    const { web, get, kept, partial } = await open();
    const other = randomBytes(content.length);
    web.files.set(PATH, content);
    spoil(web, 2, () => {
      web.files.set(PATH, other);
      return false;
    });
    expect((await get()).pin.sha256).toBe(sha(other));
    expect([kept(), partial()]).toEqual([[sha(other)], []]);
    let version = 0;
    web.files.set(PATH, content);
    web.trouble = (request) => {
      if (request.headers.range !== 'bytes=0-0') web.files.set(PATH, Buffer.from(`version ${version++}`));
      return false;
    };
    await expect(get()).rejects.toThrow(/m\.bin was replaced or removed while it was fetched/);
    expect(kept()).toEqual([sha(other)]);
  });

  it.each([
    [404, 'MODEL_NOT_FOUND', /no such file$/],
    [403, 'SOURCE_REFUSED', /answers 403 AccessDenied: Who are you\?; the address may have run out/],
  ])('says what an answer of %d means', async (status, code, message) => {
    const { web, models } = await open();
    web.trouble = (_request, response) => {
      response
        .writeHead(status)
        .end('<Error><Code>AccessDenied</Code><Message>Who are you?</Message></Error>');
      return true;
    };
    const failure = await models
      .obtain(`${web.url}${PATH}?signature=secret`, waiting)
      .catch((error) => error);
    expect(failure).toMatchObject({ code });
    expect(failure.message).toMatch(message);
    expect(failure.message).not.toContain('secret');
  });

  it('comes from a server that gives no parts and no size, and is asked for again each time', async () => {
    const { web, get } = await open();
    web.trouble = (_request, response) => {
      response.writeHead(200);
      response.write('chunked ');
      response.end('content');
      return true;
    };
    expect((await get()).pin).toMatchObject({ sizeBytes: 15, sha256: sha(Buffer.from('chunked content')) });
    expect((await get()).pin).toMatchObject({ sizeBytes: 15 });
  });

  it('may be empty, and may lie behind a redirect', async () => {
    const { web, get } = await open();
    web.files.set('/elsewhere', Buffer.alloc(0));
    web.trouble = (request, response) => {
      if (request.url !== PATH) return false;
      response.writeHead(302, { location: '/elsewhere' }).end();
      return true;
    };
    expect((await get()).pin).toMatchObject({ name: 'm.bin', sizeBytes: 0 });
  });

  it('is fetched once for several that want it, and ended when nobody does any more', async () => {
    const { web, models, make, get, kept } = await open();
    web.files.set(PATH, content);
    const other = make(); // as another process would
    const both = await Promise.all([get(), get(), other.obtain(`${web.url}${PATH}`, waiting)]);
    await other.stop();
    expect(both[0]?.pin).toEqual(both[1]?.pin);
    expect(web.requests.filter((line) => !line.endsWith('bytes=0-0'))).toHaveLength(3);
    web.files.set(PATH, randomBytes(content.length));
    const gone = new AbortController();
    let asked = 0;
    web.trouble = (request) => {
      if (request.headers.range === 'bytes=0-0') return false;
      asked += 1;
      gone.abort();
      return true;
    };
    await expect(get({ isDryRun: false, signal: gone.signal })).rejects.toThrow(/abort/i);
    expect(asked).toBeGreaterThan(0);
    await models.stop();
    await expect.poll(() => models.running, { timeout: 30_000 }).toEqual([]);
    expect(kept()).toHaveLength(1);
  });
});
