import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Variables } from '../../../src/config/environment.ts';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  ACCOUNT,
  hasRegistry,
  ImageFolder,
  OCI_MANIFEST,
  type RegistryKind,
  TestRegistry,
} from '../../system/support/registry.ts';
import { tarOf } from './tar-bytes.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const IMPATIENT = { attempts: 3, backoffMs: 5, silenceMs: 2_000 };
const waiting = { isDryRun: false, signal: new AbortController().signal };
const INDEX = 'application/vnd.oci.image.index.v1+json';
const PATH = process.env['PATH'] ?? '';

/** A node's folders, and what takes models there. */
function node(variables: Variables = {}) {
  const dir = tempDir();
  const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
  const places = { partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') };
  const models = new RemoteModels(
    { variables: { HOME: dir, PATH, ...variables }, ...places, exchange: IMPATIENT },
    { store, log: silentLog },
  );
  const get = async (uri: string, how = waiting) => await models.obtain(uri, how);
  return { dir, store, models, get };
}

async function filesOf(root: string, files: readonly { readonly path: string }[]) {
  return Object.fromEntries(files.map(({ path }) => [path, sha(readFileSync(join(root, path)))]));
}

/** Writes files below a folder. */
function folderOf(files: Record<string, Buffer>): string {
  const dir = join(tempDir(), 'content');
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  return dir;
}

function dockerConfig(host: string, account = ACCOUNT): string {
  const dir = tempDir();
  const auth = Buffer.from(`${account.user}:${account.password}`).toString('base64');
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }));
  return dir;
}

describe.skipIf(!hasRegistry)('models from a registry', () => {
  let registry: TestRegistry;
  const uri = (name: string) => `oci://${registry.host}/${name}`;
  const weights = randomBytes(3_000_000);

  beforeAll(async () => {
    registry = await TestRegistry.start();
  });

  afterAll(async () => {
    await registry?.stop();
  });

  it.each([
    ['oci', []],
    ['docker', ['-f', 'v2s2']],
  ])('takes an image that umoci and skopeo have made, in form %s, as its layers say', async (form, args) => {
    const small = Buffer.from('{"a": 1}');
    await new ImageFolder(join(tempDir(), 'image'))
      .insert(folderOf({ 'weights.bin': weights, 'deep/config.json': small, 'old.bin': weights }), '/models')
      .insert(folderOf({ etc: Buffer.from('outside') }), '/opt')
      .insert(folderOf({ 'labels.txt': Buffer.from('cat') }), '/models/more')
      .hide('/models/old.bin')
      .push(`${registry.host}/team/${form}-model:1.0`, ...args);
    const { get } = node();
    const { pin, content } = await get(uri(`team/${form}-model:1.0`));
    expect(pin).toEqual({
      ...{ name: `${form}-model`, sizeBytes: weights.length + small.length + 3, sha256: content.hash },
      image: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    });
    expect(await filesOf(content.root, content.files)).toEqual({
      'deep/config.json': sha(small),
      'more/labels.txt': sha(Buffer.from('cat')),
      'weights.bin': sha(weights),
    });
    expect(content.files.map(({ path, sha256 }) => [path, sha256])).toEqual(
      Object.entries(await filesOf(content.root, content.files)),
    );
    expect(statSync(join(content.root, 'weights.bin')).mode & 0o777).toBe(0o444);
  });

  const tar = tarOf({ name: 'models/', type: '5' }, { name: 'models/w', content: 'weights' });
  it.each([
    ['a plain tar', tar, 'application/vnd.oci.image.layer.v1.tar'],
    ['gzip', gzipSync(tar), 'application/vnd.oci.image.layer.v1.tar+gzip'],
    ['gzip that says it is none', gzipSync(tar), 'application/vnd.oci.image.layer.v1.tar'],
    [
      'zstd',
      execFileSync('zstd', ['-q', '-c'], { input: tar }),
      'application/vnd.oci.image.layer.v1.tar+zstd',
    ],
  ])('unpacks %s', async (name, bytes, mediaType) => {
    const repository = `packed/${name.replaceAll(' ', '-')}`;
    await registry.putImage(repository, '1', [{ bytes, mediaType }]);
    const { content } = await node().get(uri(`${repository}:1`));
    expect(await filesOf(content.root, content.files)).toEqual({ w: sha(Buffer.from('weights')) });
  });

  it('says what is missing where nothing can unpack zstd', async () => {
    const bytes = execFileSync('zstd', ['-q', '-c'], { input: tar });
    await registry.putImage('packed/without', '1', [
      { bytes, mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' },
    ]);
    const { get } = node({ PATH: '/nowhere' });
    const canAnyway = 'createZstdDecompress' in (await import('node:zlib'));
    const got = get(uri('packed/without:1'));
    if (canAnyway) await got;
    else await expect(got).rejects.toThrow(/packed with zstd, .*install the program zstd/);
  });

  it('asks again for latest only, and needs no registry for what is here', async () => {
    const other = await TestRegistry.start();
    try {
      const first = await other.putImage('m', '1.0', [tarOf({ name: 'models/w', content: 'one' })]);
      await other.putImage('m', 'latest', [tarOf({ name: 'models/w', content: 'one' })]);
      const { get } = node();
      const at = (name: string) => `oci://${other.host}/m${name}`;
      const [fixed, latest] = [await get(at(':1.0')), await get(at(''))];
      expect(fixed.pin).toEqual({ ...latest.pin, image: first });
      const second = await other.putImage('m', 'latest', [tarOf({ name: 'models/w', content: 'two' })]);
      await other.putImage('m', '1.0', [tarOf({ name: 'models/w', content: 'two' })]);
      expect((await get(at(':latest'))).pin.image).toBe(second);
      expect((await get(at(':1.0'))).pin).toEqual(fixed.pin);
      await other.kill();
      expect((await get(at(':1.0'))).pin).toEqual(fixed.pin);
      expect((await get(at(`@${second}`))).pin.image).toBe(second);
      expect((await get(at(`:1.0@${first}`))).pin).toEqual(fixed.pin);
      await expect(get(at(':latest'))).rejects.toThrow(/ECONNREFUSED.*3 times in a row/);
      await expect(get(at(':2.0'))).rejects.toThrow(/oci:\/\/127\.0\.0\.1:\d+\/m:2\.0: .*ECONNREFUSED/);
    } finally {
      await other.stop();
    }
  });

  it('shows in a dry run what it would fetch, and fetches nothing', async () => {
    const digest = await registry.putImage('dry', '1', [tarOf({ name: 'models/w', content: 'x' })]);
    const { dir, get } = node();
    const { pin } = await get(uri('dry:1'), { ...waiting, isDryRun: true });
    expect(pin).toEqual({ name: 'dry', sizeBytes: 2048, sha256: digest.slice(7), image: digest });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('chooses from an index what is for this machine, and no attestation', async () => {
    const arch = process.arch === 'x64' ? 'amd64' : process.arch;
    const mine = await registry.putImage('multi', 'a', [tarOf({ name: 'models/w', content: 'mine' })]);
    const theirs = await registry.putImage('multi', 'b', [tarOf({ name: 'models/w', content: 'theirs' })]);
    const entry = async (digest: string, platform: object) => {
      const { length } = Buffer.from(
        await (await fetch(`${registry.url}/v2/multi/manifests/${digest}`)).text(),
      );
      return { mediaType: OCI_MANIFEST, digest, size: length, platform };
    };
    const index = (manifests: readonly object[]) => ({ schemaVersion: 2, mediaType: INDEX, manifests });
    const attestation = await entry(theirs, { os: 'unknown', architecture: 'unknown' });
    const foreign = await entry(theirs, { os: 'linux', architecture: 's390x' });
    const own = await entry(mine, { os: 'linux', architecture: arch });
    const digest = await registry.putManifest('multi', 'all', index([attestation, foreign, own]));
    const { get } = node();
    const { pin, content } = await get(uri('multi:all'));
    expect(pin.image).toBe(digest);
    expect(readFileSync(join(content.root, 'w'), 'utf8')).toBe('mine');
    await registry.putManifest('multi', 'others', index([attestation, foreign]));
    await expect(get(uri('multi:others'))).rejects.toThrow(
      new RegExp(`multi:others: .*without an image for linux/${arch}; there are linux/s390x$`),
    );
  });

  it('keeps files of layers that images share once, and fetches none of them again', async () => {
    const big = tarOf({ name: 'models/big.bin', content: randomBytes(5_000_000) });
    await registry.putImage('shared', '1', [big, tarOf({ name: 'models/v', content: '1' })]);
    await registry.putImage('shared', '2', [big, tarOf({ name: 'models/v', content: '2' })]);
    const { dir, get, store } = node();
    const [first, second] = [await get(uri('shared:1')), await get(uri('shared:2'))];
    const inodes = [first, second].map(({ content }) => statSync(join(content.root, 'big.bin')).ino);
    expect(inodes[0]).toBe(inodes[1]);
    const onDisk = Number(execFileSync('du', ['-s', '--block-size=1', dir]).toString().split('\t')[0]);
    expect(onDisk).toBeLessThan(6_000_000);
    expect(readdirSync(join(dir, 'partial'))).toEqual([]);
    await store.remove(first.content.hash);
    expect(await store.find(second.content.hash)).not.toBeNull();
    await registry.putImage('shared', '3', [big, tarOf({ name: 'models/v', content: '3' })]);
    const third = await get(uri('shared:3'));
    expect(statSync(join(third.content.root, 'big.bin')).ino).toBe(inodes[0]);
  });

  it('lists what is at the top of an image without a model', async () => {
    await registry.putImage('none', '1', [tarOf({ name: 'etc/passwd', content: 'x' }, { name: 'model/w' })]);
    await registry.putImage('none', '2', [tarOf({ name: 'models/', type: '5' }, { name: 'bin/sh' })]);
    const { get } = node();
    await expect(get(uri('none:1'))).rejects.toThrow(
      /none:1: the image has no folder \/models, .*there are etc, model$/,
    );
    await expect(get(uri('none:2'))).rejects.toThrow(/has nothing in \/models, .*there are bin, models$/);
  });

  it.each([
    [
      'a path out of the image',
      { name: 'models/../../evil' },
      /"models\/\.\.\/\.\.\/evil" leads out of the image/,
    ],
    [
      'a symlink out of it',
      { name: 'models/l', type: '2', target: '../../../etc/passwd' },
      /leads out of models/,
    ],
    ['an absolute symlink', { name: 'models/l', type: '2', target: '/etc/passwd' }, /leads out of models/],
    ['a hard link to elsewhere', { name: 'models/l', type: '1', target: 'etc/passwd' }, /is a hard link to/],
    ['a device', { name: 'models/null', type: '3' }, /models\/null is neither a file/],
    ['a file below a symlink', { name: 'models/l', type: '2', target: '/tmp' }, /leads out of models/],
  ])('refuses %s, and leaves nothing', async (name, part, expected) => {
    const repository = `evil/${name.replaceAll(' ', '-')}`;
    const honest = { name: 'models/w', content: 'w' };
    await registry.putImage(repository, '1', [tarOf(honest), tarOf(part)]);
    const { dir, get, models } = node();
    await expect(get(uri(`${repository}:1`))).rejects.toThrow(expected);
    await models.stop();
    expect(readdirSync(dir)).not.toContain('models');
    expect(readdirSync(dirname(dir))).not.toContain('evil');
  });

  it('refuses a layer or a manifest that is not what its digest says', async () => {
    const layer = tarOf({ name: 'models/w', content: 'honest' });
    const digest = await registry.putImage('tampered', '1', [layer]);
    const pathOf = (one: string) =>
      join(registry.dir, 'images/docker/registry/v2/blobs/sha256', one.slice(7, 9), one.slice(7), 'data');
    const blob = pathOf(`sha256:${sha(layer)}`);
    writeFileSync(blob, tarOf({ name: 'models/w', content: 'hacked' }));
    const { dir, get } = node();
    await expect(get(uri('tampered:1'))).rejects.toThrow(
      /tampered:1: the layer sha256:.* is not what its digest/,
    );
    expect(readdirSync(dir)).not.toContain('models');
    writeFileSync(blob, layer);
    expect((await get(uri('tampered:1'))).pin.image).toBe(digest);
  });

  it('says that there is no such image', async () => {
    const { get } = node();
    await expect(get(uri('nothing:1'))).rejects.toThrow(
      /nothing:1: the registry http:\/\/127\.0\.0\.1:\d+ has no such image$/,
    );
    const { port } = new URL(registry.url);
    await expect(get(`oci://localhost:${port}/nothing@sha256:${'0'.repeat(64)}`)).rejects.toThrow(
      /no such image/,
    );
  });

  it('needs no space twice while it fetches', async () => {
    const content = randomBytes(8_000_000);
    await registry.putImage('once', '1', [gzipSync(tarOf({ name: 'models/w', content }))]);
    const { dir, get } = node();
    await get(uri('once:1'));
    const onDisk = Number(execFileSync('du', ['-s', '--block-size=1', dir]).toString().split('\t')[0]);
    expect(onDisk).toBeLessThan(8_300_000);
  });
});

describe.skipIf(!hasRegistry)('models from a registry that wants to know who asks', () => {
  const kinds: readonly RegistryKind[] = ['htpasswd', 'token'];

  describe.each(kinds)('by %s', (kind) => {
    let registry: TestRegistry;
    const creds = `${ACCOUNT.user}:${ACCOUNT.password}`;

    beforeAll(async () => {
      registry = await TestRegistry.start(kind);
      const image = new ImageFolder(join(registry.dir, 'image'));
      mkdirSync(join(registry.dir, 'content'));
      writeFileSync(join(registry.dir, 'content/w.bin'), 'weights');
      image.insert(join(registry.dir, 'content'), '/models');
      await image.push(`${registry.host}/private/m:1`, '--dest-creds', creds);
      await image.push(`${registry.host}/public/m:1`, '--dest-creds', creds);
    });

    afterAll(async () => {
      await registry?.stop();
    });

    const at = (name: string) => `oci://${registry.host}/${name}`;

    it.each(['DOCKER_CONFIG', 'KSERVE_OCI_DOCKER_CONFIG'])('takes them with what %s names', async (name) => {
      const { get } = node({ [name]: dockerConfig(registry.host) });
      const { content: stored } = await get(at('private/m:1'));
      expect(stored.files.map(({ path }) => path)).toEqual(['w.bin']);
    });

    it('takes them with what the program of credsStore says', async () => {
      const dir = tempDir();
      writeFileSync(join(dir, 'config.json'), '{"credsStore": "test"}');
      const answer = JSON.stringify({ Username: ACCOUNT.user, Secret: ACCOUNT.password });
      writeFileSync(join(dir, 'docker-credential-test'), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
      const { get } = node({ DOCKER_CONFIG: dir, PATH: `${dir}:${PATH}` });
      expect((await get(at('private/m:1'))).pin.name).toBe('m');
    });

    it('finds ~/.docker/config.json, with the names that are usual there', async () => {
      for (const key of [`http://${registry.host}`, `https://${registry.host}/v2/`]) {
        const { dir, get } = node();
        mkdirSync(join(dir, '.docker'));
        writeFileSync(join(dir, '.docker/config.json'), readFileSync(join(dockerConfig(key), 'config.json')));
        await get(at('private/m:1'));
      }
    });

    it.each([
      [
        'another password',
        () => dockerConfig(registry.host, { ...ACCOUNT, password: 'wrong' }),
        /asked with what /,
      ],
      ['no entry', () => dockerConfig('other.example'), /no credentials were found: .* has none for 127/],
      ['no file', () => '/nowhere', /no credentials were found: there is no \/nowhere\/config\.json/],
    ])('is refused with %s, and says whom it asked as', async (_name, config, expected) => {
      const { get } = node({ DOCKER_CONFIG: config() });
      const refusal = await get(at('private/m:1')).then(String, (error: Error) => error.message);
      expect(refusal).toMatch(expected);
      expect(refusal).not.toContain(ACCOUNT.password);
      expect(refusal).not.toContain(Buffer.from(creds).toString('base64'));
    });

    it('counts a broken config.json as none', async () => {
      const dir = tempDir();
      writeFileSync(join(dir, 'config.json'), '{"auths": ');
      const got = node({ DOCKER_CONFIG: dir }).get(at('public/m:1'));
      if (kind === 'token') expect((await got).pin.name).toBe('m');
      else await expect(got).rejects.toThrow(/no credentials were found: .* is no JSON/);
    });
  });

  it('gets one token for a whole image', async () => {
    const registry = await TestRegistry.start('token');
    try {
      const image = new ImageFolder(join(tempDir(), 'image'));
      for (const name of ['a', 'b', 'c', 'd', 'e'])
        image.insert(folderOf({ w: Buffer.from(name) }), `/models/${name}`);
      await image.push(`${registry.host}/public/m:1`, '--dest-creds', `${ACCOUNT.user}:${ACCOUNT.password}`);
      registry.tokensGiven.length = 0;
      await node().get(`oci://${registry.host}/public/m:1`);
      expect(registry.tokensGiven).toEqual(['- repository:public/m:pull']);
    } finally {
      await registry.stop();
    }
  });
});
