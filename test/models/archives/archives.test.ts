import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { tarOf } from '../oci/tar-bytes.ts';
import { startWebServer } from '../web-server.ts';

const HONEST = tarOf(
  { name: './', type: '5' },
  { name: './weights.bin', content: 'weights' },
  { name: './deep/', type: '5' },
  { name: './deep/labels.txt', content: 'cat' },
  { name: './labels.txt', type: '2', target: 'deep/labels.txt' },
  { name: './again.bin', type: '1', target: './weights.bin' },
);
const FILES = ['again.bin', 'deep/labels.txt', 'labels.txt', 'weights.bin'];

/** Says more bytes than come. */
function saying(sizeBytes: number): Buffer {
  const tar = tarOf({ name: 'large.bin' });
  tar.write(sizeBytes.toString(8).padStart(11, '0'), 124);
  tar.write('        ', 148);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return tar;
}

async function open() {
  const web = await startWebServer();
  const dir = tempDir();
  const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
  const places = { partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') };
  const variables = { PATH: process.env['PATH'] ?? '' };
  const models = new RemoteModels({ variables, ...places }, { store, log: silentLog });
  onTestFinished(async () => await models.stop());
  const get = async (name: string, more: object = {}) => {
    const how = { isDryRun: false, signal: AbortSignal.timeout(30_000), ...more };
    return await models.obtain(`unpack+${web.url}/${name}`, how);
  };
  const kept = () => (existsSync(join(dir, 'models')) ? readdirSync(join(dir, 'models')) : []);
  return { web, dir, models, get, kept };
}

const zstd = ((): ((bytes: Buffer) => Buffer) | null => {
  try {
    const pack = (bytes: Buffer) => execFileSync('zstd', ['-q', '-c'], { input: bytes });
    pack(Buffer.from('x'));
    return pack;
  } catch {
    process.stdout.write('skipped: archives packed by zstd: there is no zstd (Debian package zstd)\n');
    return null;
  }
})();

describe('a model that is an archive', () => {
  it.each<[string, string, (bytes: Buffer) => Buffer]>([
    ['bert-v3.tar', 'bert-v3', (bytes) => bytes],
    ['bert-v3.tar.gz', 'bert-v3', (bytes) => gzipSync(bytes)],
    ['bert.TGZ', 'bert', (bytes) => gzipSync(bytes)],
    ['download', 'download', (bytes) => gzipSync(bytes)],
    ...(zstd === null ? [] : [['bert.tar.zst', 'bert', zstd] as [string, string, typeof zstd]]),
  ])('called %s is the folder %s of what it holds', async (name, localName, pack) => {
    const { web, get, dir } = await open();
    web.files.set(`/${name}`, pack(HONEST));
    const { pin, content } = await get(name);
    expect(pin).toEqual({ name: localName, sizeBytes: 20, sha256: content.hash });
    expect(content.files.map(({ path }) => path)).toEqual(FILES);
    expect(readFileSync(join(content.root, 'labels.txt'), 'utf8')).toBe('cat');
    expect(readFileSync(join(content.root, 'again.bin'), 'utf8')).toBe('weights');
    expect(readdirSync(join(dir, 'partial'))).toEqual([]);
  });

  it('is not fetched again while the server has the same, and beside it the file may be wanted', async () => {
    const { web, get, models } = await open();
    web.files.set('/m.tar.gz', gzipSync(HONEST));
    const first = await get('m.tar.gz');
    web.requests.length = 0;
    expect((await get('m.tar.gz')).pin).toEqual(first.pin);
    expect((await get('m.tar.gz', { isDryRun: true })).pin).toEqual(first.pin);
    expect(new Set(web.requests)).toEqual(new Set(['/m.tar.gz bytes=0-0']));
    const how = { isDryRun: false, signal: AbortSignal.timeout(30_000) };
    const { pin } = await models.obtain(`${web.url}/m.tar.gz`, how);
    expect(pin).toMatchObject({ name: 'm.tar.gz', sizeBytes: gzipSync(HONEST).length });
    web.files.set('/m.tar.gz', tarOf({ name: 'weights.bin', content: 'other weights' }));
    expect((await get('m.tar.gz')).content.files.map(({ path }) => path)).toEqual(['weights.bin']);
  });

  it('is fetched before the start where it was to be streamed, and says so', async () => {
    const { web, get } = await open();
    web.files.set('/m.tar', HONEST);
    const { pin, unstreamed } = await get('m.tar', { isStreamed: true });
    expect(unstreamed).toBe('it is unpacked from an archive');
    expect(pin).not.toHaveProperty('listing');
  });

  it.each<[string, Buffer, RegExp]>([
    ['a path that leads out', tarOf({ name: '../evil', content: 'x' }), /"\.\.\/evil" leads out of m\/$/],
    ['one in the middle', tarOf({ name: 'a/../../evil', content: 'x' }), /leads out of m\/$/],
    [
      'a symlink that leads out',
      tarOf({ name: 'in', type: '2', target: '../../evil' }),
      /m\/in leads out of m\//,
    ],
    [
      'a symlink to a file of the machine',
      tarOf({ name: 'in', type: '2', target: '/etc/passwd' }),
      /m\/in leads out of m\/, to "\/etc\/passwd"$/,
    ],
    [
      'a file behind a symlink that leads out',
      tarOf(
        { name: 'in', type: '2', target: '/tmp' },
        { name: 'in/evil', content: 'x' },
        { name: 'in', type: '2', target: '/tmp' },
      ),
      /m\/in leads out of m\//,
    ],
    [
      'a hard link to what it does not hold',
      tarOf({ name: 'in', type: '1', target: '/etc/passwd' }),
      /m\/in is a hard link to "m\/etc\/passwd", where no file is$/,
    ],
    ['a hard link that leads out', tarOf({ name: 'in', type: '1', target: '../x' }), /leads out of m\/$/],
    ['a device', tarOf({ name: 'null', type: '3' }), /m\/null is neither a file nor a folder nor a link$/],
    ['more than it can hold', saying(3 * 1024 ** 3), /it holds more than 1073741824 bytes, far more than/],
    ['no files', tarOf({ name: 'empty/', type: '5' }), /the archive holds no files$/],
    ['an end in the middle', HONEST.subarray(0, 1_027), /no tar that can be read: it ends in the middle/],
    ['an end between two', HONEST.subarray(0, 1_536), /at its end is missing: it may have been cut off$/],
    ['a gzip that is cut off', gzipSync(HONEST).subarray(0, 60), /its gzip cannot be read: unexpected end/],
    ['no archive at all', Buffer.alloc(2_000, 'weights'), /no tar that can be read: a header/],
    ['a zip', Buffer.from('PK\u0003\u0004 and so on'), /it is a zip, and only \.tar, .* as it is$/],
  ])('with %s is refused, and nothing is kept', async (_what, archive, message) => {
    const { web, get, kept, dir } = await open();
    web.files.set('/m.tar', archive);
    const failure = await get('m.tar').catch((error) => error);
    expect(failure).toMatchObject({ code: 'MODEL_UNUSABLE' });
    expect(failure.message).toMatch(new RegExp(`^unpack\\+${web.url}/m\\.tar: `));
    expect(failure.message).toMatch(message);
    expect(kept()).toEqual([]);
    expect(existsSync(join(dir, 'evil')) || existsSync(join(dir, 'partial', 'evil'))).toBe(false);
  });
});
