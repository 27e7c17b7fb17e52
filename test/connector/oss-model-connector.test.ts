import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { OssModelConnector } from '../../src/connector/oss-model-connector.ts';
import { canMount, smallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type OssDouble, refuse, startOss } from './oss-double.ts';

const MIB = 1024 ** 2;
const provider = { getCredentials: () => ({ accessKeyId: 'an-id', accessKeySecret: 'a-secret' }) };

interface Place {
  readonly connector: OssModelConnector;
  readonly folder: string;
  /** lines of the audit log */
  audit(): readonly Record<string, unknown>[];
}

function connectTo(oss: OssDouble, about: object = {}, config: object = {}): Place {
  const folder = tempDir();
  const paths = { logPath: join(folder, 'log'), auditPath: join(folder, 'audit') };
  const given = {
    ...paths,
    ...config,
    prefetch: { vcpus: 2, workers: 2, directory: folder, ...prefetchOf(config) },
  };
  const configPath = join(folder, 'config.json');
  writeFileSync(configPath, JSON.stringify(given));
  const options = { endpoint: oss.endpoint, credProvider: provider, configPath, region: '' };
  const connector = new OssModelConnector({ ...options, ...about });
  onTestFinished(async () => await connector.close());
  const audit = () =>
    readFileSync(paths.auditPath, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  return { connector, folder, audit };
}

function prefetchOf(config: object): object {
  return 'prefetch' in config ? (config.prefetch as object) : {};
}

/** Files that are held in memory now. */
function heldIn(folder: string): readonly string[] {
  const made = readdirSync(folder).filter((name) => name.startsWith('modelserve-connector-'));
  return made.flatMap((name) => readdirSync(join(folder, name)));
}

describe('OssModelConnector', () => {
  it('wants an endpoint and credentials', () => {
    const endpoint = 'oss.example.com';
    expect(() => new OssModelConnector({ endpoint: '', credPath: '/c' })).toThrow(
      'endpoint must be non-empty',
    );
    expect(() => new OssModelConnector({ endpoint })).toThrow(
      'Either credPath or credProvider must be provided',
    );
    expect(
      () => new OssModelConnector({ endpoint, credProvider: provider, configPath: '/nowhere/c.json' }),
    ).toThrow(/^\/nowhere\/c.json: the configuration cannot be read/);
  });

  it('lists what begins with a prefix, over several pages', async () => {
    const names = Array.from({ length: 2300 }, (_, index) => `dir/é ${String(index).padStart(4, '0')}`);
    const oss = await startOss(
      Object.fromEntries(names.map((name, at) => [`bkt/${name}`, Buffer.alloc(at % 7)])),
    );
    oss.objects.set('bkt/other', Buffer.alloc(1));
    const { connector, audit } = connectTo(oss);
    const listed = await connector.list('bkt', 'dir/');
    expect(listed).toEqual(names.map((key, at) => ({ key, size: at % 7 })));
    const fast = await connector.list('bkt', 'dir/', true);
    expect([...fast].sort((left, right) => (left.key < right.key ? -1 : 1))).toEqual(listed);
    expect(audit()[0]).toMatchObject({ msg: 'list', uri: 'oss://bkt/dir/' });
  });

  it('reads as a file is read', async () => {
    const content = randomBytes(20 * MIB + 17);
    const { connector, folder, audit } = connectTo(await startOss({ 'bkt/dir/a b': content }));
    const object = await connector.open('oss://bkt/dir/a b');
    expect([object.size, object.tell()]).toEqual([content.length, 0]);
    expect(await object.read(5)).toEqual(content.subarray(0, 5));
    expect(object.tell()).toBe(5);
    const buffer = Buffer.alloc(9 * MIB);
    expect(await object.readinto(buffer)).toBe(buffer.length);
    expect(buffer.equals(content.subarray(5, 5 + buffer.length))).toBe(true);
    expect(object.seek(-20, 2)).toBe(content.length - 20);
    expect(await object.readinto(buffer)).toBe(20);
    expect(buffer.subarray(0, 20).equals(content.subarray(-20))).toBe(true);
    expect(await object.readinto(buffer)).toBe(0);
    expect(object.seek(-3, 1)).toBe(content.length - 3);
    object.seek(0);
    expect((await object.read()).equals(content)).toBe(true);
    expect(await object.read()).toEqual(Buffer.alloc(0));
    expect(object.seek(content.length + 5)).toBe(content.length + 5);
    expect(await object.read(1)).toEqual(Buffer.alloc(0));
    expect(() => object.seek(-1)).toThrow(RangeError);
    expect(heldIn(folder)).toHaveLength(1);
    await object.close();
    expect(heldIn(folder)).toEqual([]);
    await expect(object.read(1)).resolves.toEqual(Buffer.alloc(0));
    object.seek(0);
    await expect(object.read(1)).rejects.toThrow('oss://bkt/dir/a b is closed');
    const ranges = audit()
      .filter(({ msg }) => msg === 'read')
      .map(({ range }) => range);
    expect(ranges).toContain(`0-${8 * MIB - 1}`);
    expect(ranges).toHaveLength(3);
  });

  it('gives text where it was opened as text', async () => {
    const { connector } = connectTo(await startOss({ 'bkt/t': Buffer.from('añb') }));
    const object = await connector.open('oss://bkt/t', false);
    expect([await object.read(2), await object.read()]).toEqual(['a', 'ñb']);
  });

  it.each([
    ['oss://bkt/none', 'oss://bkt/none: there is no such object'],
    ['s3://bkt/none', '"s3://bkt/none": expected oss://BUCKET/NAME'],
    ['oss://bkt', 'oss://bkt/: there is no such object'],
  ])('says that %s cannot be opened', async (uri, message) => {
    const { connector } = connectTo(await startOss());
    await expect(connector.open(uri)).rejects.toThrow(message);
  });

  it('reads an empty object', async () => {
    const { connector } = connectTo(await startOss({ 'bkt/e': Buffer.alloc(0) }));
    const object = await connector.open('oss://bkt/e');
    expect([object.size, await object.read()]).toEqual([0, Buffer.alloc(0)]);
  });

  it('fetches in the order of the calls, within its memory, and reads all the same', async () => {
    const names = Array.from({ length: 38 }, (_, index) => `bkt/model-${String(index + 1).padStart(5, '0')}`);
    const contents = names.map(() => randomBytes(MIB));
    const oss = await startOss(Object.fromEntries(names.map((name, at) => [name, contents[at] as Buffer])));
    const { connector, folder } = connectTo(
      oss,
      {},
      { prefetch: { vcpus: 1, workers: 1, memoryBytes: 8 * MIB } },
    );
    const objects = await Promise.all(names.map(async (name) => await connector.open(`oss://${name}`)));
    expect(heldIn(folder).length).toBeLessThanOrEqual(8);
    for (const pass of [1, 2]) {
      for (const [at, object] of objects.entries()) {
        object.seek(0);
        expect((await object.read()).equals(contents[at] as Buffer), `${pass}: ${at}`).toBe(true);
        expect(heldIn(folder).length).toBeLessThanOrEqual(8);
      }
    }
    const fetched = oss.requests
      .filter((line) => !line.endsWith('bytes=0-0'))
      .map((line) => line.split(' ')[1]);
    expect(fetched.slice(0, 38)).toEqual(names);
  });

  it('reads an object that is larger than its memory', async () => {
    const content = randomBytes(150 * MIB);
    const oss = await startOss({ 'bkt/large': content });
    const { connector, folder } = connectTo(oss, {}, { prefetch: { memoryBytes: 130 * MIB } });
    const object = await connector.open('oss://bkt/large');
    expect((await object.read()).equals(content)).toBe(true);
    expect(heldIn(folder).length).toBeLessThanOrEqual(2);
  });

  it.skipIf(!canMount('memory that is full'))(
    'says when memory is full, and goes on once there is room',
    async () => {
      const contents = [randomBytes(6 * MIB), randomBytes(6 * MIB)];
      const oss = await startOss({ 'bkt/a': contents[0] as Buffer, 'bkt/b': contents[1] as Buffer });
      const prefetch = { directory: smallDisk(8), memoryBytes: 64 * MIB };
      const { connector } = connectTo(oss, {}, { prefetch });
      const first = await connector.open('oss://bkt/a');
      expect((await first.read()).equals(contents[0] as Buffer)).toBe(true);
      const second = await connector.open('oss://bkt/b');
      await expect(second.read()).rejects.toMatchObject({
        code: 'CONNECTOR_MEMORY',
        message: expect.stringMatching(/there is no room left in memory; .* set prefetch\.memoryBytes lower/),
      });
      await first.close();
      expect((await second.read()).equals(contents[1] as Buffer)).toBe(true);
    },
  );

  it('takes new credentials of its file when the old ones expire or are refused', async () => {
    const oss = await startOss({ 'bkt/a': Buffer.from('a') });
    oss.keys.set('old', { secret: 's1', token: 't1' });
    const credPath = join(tempDir(), 'credentials');
    const write = (id: string, secret: string, token: string, expiration: string) =>
      writeFileSync(
        credPath,
        JSON.stringify({
          AccessKeyId: id,
          AccessKeySecret: secret,
          SecurityToken: token,
          Expiration: expiration,
        }),
      );
    write('old', 's1', 't1', '2199-01-01T00:00:00Z');
    const { connector } = connectTo(oss, { credProvider: undefined, credPath });
    await connector.open('oss://bkt/a');
    oss.keys.delete('old');
    await expect(connector.open('oss://bkt/a')).rejects.toThrow(
      /InvalidAccessKeyId: no; asked with the credentials of/,
    );
    oss.keys.set('new', { secret: 's2', token: 't2' });
    oss.trouble = () => {
      oss.trouble = () => false; // the file changes while the request is on its way
      write('new', 's2', 't2', '2199-01-01T00:00:00Z');
      return false;
    };
    expect(await (await connector.open('oss://bkt/a')).read()).toEqual(Buffer.from('a'));
  });

  it('does not give wrong bytes when OSS refuses, sends too little, or has another object by now', async () => {
    const content = randomBytes(20 * MIB);
    const oss = await startOss({ 'bkt/a': content, 'bkt/b': content, 'bkt/c': content });
    const { connector } = connectTo(oss);
    oss.trouble = (request, response) => {
      if (request.headers.range === 'bytes=0-0') return false;
      if (request.url === '/bkt/a') refuse(response, 403, 'AccessDenied');
      else if (request.url === '/bkt/b') refuse(response, 412, 'PreconditionFailed');
      else return false;
      return true;
    };
    await expect((await connector.open('oss://bkt/a')).read()).rejects.toThrow(
      'oss://bkt/a: the server answers 403 AccessDenied: no',
    );
    const changed = await connector.open('oss://bkt/b');
    await expect(changed.read()).rejects.toThrow('oss://bkt/b was replaced or removed');
    const cut = await connector.open('oss://bkt/c');
    oss.trouble = (request, response) => {
      oss.trouble = () => false;
      response.writeHead(206, {
        'content-range': `${request.headers.range?.replace('=', ' ')}/${content.length}`,
      });
      const from = Number(/\d+/.exec(request.headers.range ?? ''));
      response.write(content.subarray(from, from + 1000), () => response.destroy());
      return true;
    };
    expect((await cut.read()).equals(content)).toBe(true);
    expect((await changed.read()).equals(content), 'asked for again, it is tried again').toBe(true);
  });

  it('gives the memory of objects back that nobody refers to any more', async () => {
    const { connector, folder } = connectTo(await startOss({ 'bkt/a': randomBytes(MIB) }));
    await (async () => {
      const object = await connector.open('oss://bkt/a');
      expect((await object.read()).length).toBe(MIB);
      expect(heldIn(folder)).toHaveLength(1);
    })();
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await vi.waitFor(
      () => {
        collectGarbage();
        expect(heldIn(folder)).toEqual([]);
      },
      { timeout: 20_000 },
    );
  });

  it('prepares a folder', async () => {
    const large = randomBytes(17 * MIB);
    const oss = await startOss({
      'bkt/m/config.json': Buffer.from('{}'),
      'bkt/m/w/1.bin': large,
      'bkt/m2/x': large,
    });
    const { connector } = connectTo(oss);
    const folder = tempDir();
    writeFileSync(join(folder, 'stale'), '');
    await connector.prepareDirectory('oss://bkt/m', folder);
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(['config.json', 'w', 'w/1.bin']);
    expect(readFileSync(join(folder, 'w/1.bin')).equals(large)).toBe(true);
    oss.trouble = (request, response) => {
      const isLarge = request.url === '/bkt/m/w/1.bin';
      if (isLarge) refuse(response, 403, 'AccessDenied');
      return isLarge;
    };
    await expect(connector.prepareDirectory('oss://bkt/m', folder)).rejects.toThrow('AccessDenied');
    expect(readdirSync(join(folder, 'w')), 'nothing that is half there').toEqual([]);
  });

  it.each(['/', process.env['HOME'] ?? '/', process.cwd(), '/proc', 'relative', '/etc/hostname'])(
    'does not empty %s',
    async (directory) => {
      const { connector } = connectTo(await startOss({ 'bkt/m/a': Buffer.from('a') }));
      await expect(connector.prepareDirectory('oss://bkt/m/', directory)).rejects.toThrow(
        'cannot be prepared',
      );
      expect(existsSync(process.cwd())).toBe(true);
    },
  );
});
