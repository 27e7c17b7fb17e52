import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Variables } from '../../../src/config/environment.ts';
import { imageName, readImageReference } from '../../../src/config/image-reference.ts';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { pushModel } from '../../../src/models/oci/push-model.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  ACCOUNT,
  breakingLine,
  hasRegistry,
  ImageFolder,
  type RegistryKind,
  TestRegistry,
} from '../../system/support/registry.ts';

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const LONG = `${'folder-with-a-long-name/'.repeat(8)}größe.json`;

function folderOf(files: Record<string, Buffer>): string {
  const dir = join(tempDir(), 'model');
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  return dir;
}

function imageIn(name: string) {
  const reading = readImageReference(name);
  return reading.ok ? reading.image : expect.fail(reading.hint);
}

async function push(folder: string, target: string, how: { base?: string; variables?: Variables } = {}) {
  const image = imageIn(target);
  const base = how.base === undefined ? null : imageIn(how.base);
  const signal = AbortSignal.timeout(60_000);
  const variables = { HOME: '/nowhere', ...how.variables };
  return await pushModel({ folder, image, base, variables, onProgress: () => undefined, signal });
}

/** What a node gets that has the model fetched. */
async function pulled(name: string, variables: Variables = {}): Promise<Record<string, string>> {
  const dir = tempDir();
  const store = new ContentStore({ recordsDir: join(dir, 'contents'), filesDir: join(dir, 'models') });
  const models = new RemoteModels(
    {
      variables: { HOME: dir, ...variables },
      ...{ partialDir: join(dir, 'partial'), digestsDir: join(dir, 'digests') },
      exchange: { attempts: 3, backoffMs: 5, silenceMs: 5_000 },
    },
    { store, log: silentLog },
  );
  try {
    const { content } = await models.obtain(`oci://${name}`, {
      ...{ isDryRun: false, signal: AbortSignal.timeout(60_000) },
    });
    return Object.fromEntries(
      content.files.map(({ path }) => [path, sha(readFileSync(join(content.root, path)))]),
    );
  } finally {
    await models.stop();
  }
}

async function inspected(name: string): Promise<{ Digest: string; Layers: string[]; Architecture: string }> {
  const { stdout } = await promisify(execFile)('skopeo', [
    'inspect',
    '--tls-verify=false',
    `docker://${name}`,
  ]);
  return JSON.parse(stdout) as never;
}

describe.skipIf(!hasRegistry)('pushModel', () => {
  let registry: TestRegistry;
  // more than goes in one request, exactly a block, nothing, and a name that needs more than a plain header
  const files = {
    'weights.bin': randomBytes(20 * 1024 ** 2 + 5),
    'small.bin': randomBytes(512),
    'empty.txt': Buffer.alloc(0),
    [LONG]: Buffer.from('{}'),
  };
  const hashes = Object.fromEntries(Object.entries(files).map(([path, content]) => [path, sha(content)]));

  beforeAll(async () => {
    registry = await TestRegistry.start();
  });

  afterAll(async () => {
    await registry?.stop();
  });

  it('makes an image that skopeo and a head take', async () => {
    const name = `${registry.host}/team/model:1.0`;
    const { digest, layers } = await push(folderOf(files), name);
    expect(layers).toBe(2);
    const { Digest, Layers } = await inspected(name);
    expect([Digest, Layers.length]).toEqual([digest, 2]);
    expect(await pulled(name)).toEqual(hashes);
    const unpacked = join(tempDir(), 'oci');
    await promisify(execFile)('skopeo', [
      'copy',
      '--insecure-policy',
      '--src-tls-verify=false',
      `docker://${name}`,
      `oci:${unpacked}:x`,
    ]);
    const bundle = join(tempDir(), 'bundle');
    await promisify(execFile)('umoci', ['unpack', '--rootless', '--image', `${unpacked}:x`, bundle]);
    for (const [path, content] of Object.entries(files)) {
      expect(sha(readFileSync(join(bundle, 'rootfs/models', path))), path).toBe(sha(content));
    }
  });

  it('sends only what is not there, and makes the same image of the same files', async () => {
    const first = await push(folderOf(files), `${registry.host}/again:1`);
    const same = await push(folderOf(files), `${registry.host}/again:2`);
    expect(same).toEqual({ ...first, sentBytes: 0 });
    const other = await push(
      folderOf({ ...files, 'small.bin': Buffer.from('x') }),
      `${registry.host}/again:3`,
    );
    expect(other.digest).not.toBe(first.digest);
    expect(other.sentBytes).toBeLessThan(20_000);
    expect(first.sentBytes).toBe(first.totalBytes);
  });

  it('goes on with a part whose connection broke', async () => {
    const line = await breakingLine(registry.host, { direction: 'up', afterBytes: 2_000_000, times: 2 });
    try {
      await push(folderOf({ 'w.bin': randomBytes(40_000_000) }), `${line.host}/broken:1`);
      expect(line.broken).toBe(2);
    } finally {
      await line.close();
    }
    expect(Object.keys(await pulled(`${registry.host}/broken:1`))).toEqual(['w.bin']);
  });

  it('is taken by a head whose connection breaks again and again', async () => {
    await push(folderOf(files), `${registry.host}/flaky:1`);
    const line = await breakingLine(registry.host, { direction: 'down', afterBytes: 3_000_000, times: 5 });
    try {
      expect(await pulled(`${line.host}/flaky:1`)).toEqual(hashes);
      expect(line.broken).toBe(5);
    } finally {
      await line.close();
    }
  });

  it('puts the model on another image, of the same registry and of another', async () => {
    const shell = folderOf({ sh: Buffer.from('#!'), 'models.txt': Buffer.from('no model') });
    const other = await TestRegistry.start();
    try {
      for (const { host } of [registry, other]) {
        const base = new ImageFolder(join(tempDir(), 'image')).insert(shell, '/bin');
        await base.push(`${host}/base/busybox:1`, '-f', 'v2s2');
        const name = `${registry.host}/on-${host === registry.host ? 'same' : 'other'}:1`;
        const { layers, digest } = await push(folderOf(files), name, { base: `${host}/base/busybox:1` });
        expect([layers, (await inspected(name)).Digest]).toEqual([3, digest]);
        expect(await pulled(name)).toEqual(hashes);
      }
    } finally {
      await other.stop();
    }
  });

  it.each<[string, () => string, RegExp]>([
    ['an empty folder', () => tempDir(), /expected a folder with the files of a model, found none/],
    [
      'a link out of the folder',
      () => {
        const folder = folderOf({ a: Buffer.from('a') });
        symlinkSync('/etc/hostname', join(folder, 'l'));
        return folder;
      },
      /l: a symlink out of/,
    ],
  ])('refuses %s', async (_name, folder, expected) => {
    await expect(push(folder(), `${registry.host}/refused:1`)).rejects.toThrow(expected);
  });

  describe.each<[RegistryKind]>([['htpasswd'], ['token']])('into a registry with %s', (kind) => {
    it('is let in with what docker login has written, and refused without', async () => {
      const closed = await TestRegistry.start(kind);
      try {
        const target = `${closed.host}/public/m:1`;
        const config = tempDir();
        const auth = Buffer.from(`${ACCOUNT.user}:${ACCOUNT.password}`).toString('base64');
        writeFileSync(join(config, 'config.json'), JSON.stringify({ auths: { [closed.host]: { auth } } }));
        const folder = folderOf({ a: Buffer.from('a') });
        await expect(push(folder, target)).rejects.toThrow(/answers 401.*; no credentials were found/);
        const { digest } = await push(folder, target, { variables: { DOCKER_CONFIG: config } });
        const whole = imageName({ ...imageIn(target), digest });
        expect(await pulled(whole, { DOCKER_CONFIG: config })).toEqual({ a: sha(Buffer.from('a')) });
      } finally {
        await closed.stop();
      }
    });
  });
});
