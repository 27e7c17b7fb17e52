import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pruneSnapshots } from '../../src/packages/prune.ts';
import { hashPackage, snapshotPackage } from '../../src/packages/snapshot.ts';

const HOUR_MS = 3_600_000;
let root = '';
const at = (...names: readonly string[]): string => join(root, 'algopkg', ...names);
const put = async (path: string, content: string | Uint8Array = path): Promise<void> => {
  await mkdir(dirname(at(path)), { recursive: true });
  await writeFile(at(path), content);
};
const source = (packageName = 'Echo') => ({
  packagesDir: join(root, 'algopkg'),
  snapshotsDir: join(root, 'snapshots'),
  packageName,
});
const filesBelow = async (folder: string): Promise<readonly string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'modelserve-packages-'));
  await put('Echo/__init__.py', '');
  await put('Echo/backend.py', 'class Echo: pass\n');
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

describe('snapshotPackage', () => {
  it('copies the package, read-only, to a folder named by its hash', async () => {
    await put('Echo/bin/tool', '#!/bin/sh\n');
    await chmod(at('Echo/bin/tool'), 0o755);
    const pin = await snapshotPackage(source());
    expect(pin.snapshotDir).toBe(join(root, 'snapshots', pin.hash));
    expect(await filesBelow(pin.snapshotDir)).toEqual([
      'algopkg/Echo/__init__.py',
      'algopkg/Echo/backend.py',
      'algopkg/Echo/bin/tool',
    ]);
    expect(await readFile(join(pin.snapshotDir, 'algopkg/Echo/backend.py'), 'utf8')).toBe(
      'class Echo: pass\n',
    );
    expect((await stat(join(pin.snapshotDir, 'algopkg/Echo/backend.py'))).mode & 0o777).toBe(0o444);
    expect((await stat(join(pin.snapshotDir, 'algopkg/Echo/bin/tool'))).mode & 0o777).toBe(0o555);
    expect(await readdir(join(root, 'snapshots'))).toEqual([pin.hash]);
    expect(await hashPackage(source())).toEqual(pin);
  });

  it('leaves alone what was snapshotted when the package changes', async () => {
    const before = await snapshotPackage(source());
    await put('Echo/backend.py', 'class Echo: ...\n');
    const after = await snapshotPackage(source());
    expect(after.hash).not.toBe(before.hash);
    expect(await readFile(join(before.snapshotDir, 'algopkg/Echo/backend.py'), 'utf8')).toBe(
      'class Echo: pass\n',
    );
  });

  it('uses a snapshot again, and replaces one that lost a file', async () => {
    const pin = await snapshotPackage(source());
    const backend = join(pin.snapshotDir, 'algopkg/Echo/backend.py');
    const inode = (await stat(backend)).ino;
    expect(await snapshotPackage(source())).toEqual(pin);
    expect((await stat(backend)).ino).toBe(inode);
    await rm(backend);
    expect(await snapshotPackage(source())).toEqual(pin);
    expect(await readFile(backend, 'utf8')).toBe('class Echo: pass\n');
    expect(await readdir(join(root, 'snapshots'))).toEqual([pin.hash]);
  });

  it('gives many that snapshot the same package at once the same whole snapshot', async () => {
    const pins = await Promise.all(Array.from({ length: 8 }, () => snapshotPackage(source())));
    expect(new Set(pins.map((pin) => pin.hash)).size).toBe(1);
    expect(await filesBelow(join(root, 'snapshots'))).toHaveLength(2);
  });

  it('puts a copy where a symlink stays inside the package', async () => {
    await put('Echo/weights/one.txt', 'one');
    await symlink('weights/one.txt', at('Echo/current.txt'));
    await symlink('weights', at('Echo/latest'));
    const { snapshotDir } = await snapshotPackage(source());
    for (const path of ['current.txt', 'latest/one.txt', 'weights/one.txt']) {
      const copied = join(snapshotDir, 'algopkg/Echo', path);
      expect(await readFile(copied, 'utf8'), path).toBe('one');
    }
  });

  it('takes a package folder that is a symlink itself', async () => {
    await rename(at('Echo'), join(root, 'elsewhere'));
    await symlink('../elsewhere', at('Echo'));
    const { snapshotDir } = await snapshotPackage(source());
    expect(await filesBelow(snapshotDir)).toHaveLength(2);
  });
});

describe('the hash of a package', () => {
  it.each<readonly [string, () => Promise<void>]>([
    ['a content', () => put('Echo/backend.py', 'class Echo: pazz\n')],
    ['a file name', () => rename(at('Echo/backend.py'), at('Echo/backend2.py'))],
    ['an execute bit', () => chmod(at('Echo/backend.py'), 0o755)],
    ['another file', () => put('Echo/more.py', '')],
  ])('changes with %s', async (_what, change) => {
    const before = await hashPackage(source());
    await change();
    expect((await hashPackage(source())).hash).not.toBe(before.hash);
  });

  it.each<readonly [string, () => Promise<void>]>([
    ['a modification time', () => utimes(at('Echo/backend.py'), 1, 1)],
    ['what Python leaves behind', () => put('Echo/__pycache__/backend.cpython-311.pyc')],
    ['installed modules', () => put('Echo/node_modules/left/index.js')],
    ['a link to modules elsewhere', () => symlink('/', at('Echo/node_modules'))],
    ['an empty folder', async () => void (await mkdir(at('Echo/empty')))],
    [
      'what .modelserveignore names, and that file itself',
      async () => {
        await put('Echo/.modelserveignore', 'scratch/\n*.tmp\n');
        await put('Echo/scratch/huge.bin');
        await put('Echo/deep/x.tmp');
        await symlink('/nowhere', at('Echo/broken.tmp'));
      },
    ],
  ])('stays with %s', async (_what, change) => {
    const before = await hashPackage(source());
    await change();
    expect((await hashPackage(source())).hash).toBe(before.hash);
  });

  it('tells equal folders of two names apart', async () => {
    await put('Twin/__init__.py', '');
    await put('Twin/backend.py', 'class Echo: pass\n');
    expect((await hashPackage(source('Twin'))).hash).not.toBe((await hashPackage(source('Echo'))).hash);
  });
});

describe('what is refused', () => {
  it.each<readonly [string, () => Promise<void>, RegExp]>([
    [
      'a symlink out',
      () => symlink('/etc/hostname', at('Echo/host')),
      /host: a symlink out of .*Echo, to \/etc\/hostname/,
    ],
    [
      'a symlink to a sibling with a longer name',
      async () => {
        await put('EchoSecret/key', 'key');
        await symlink('../EchoSecret', at('Echo/key'));
      },
      /key: a symlink out of/,
    ],
    ['a broken symlink', () => symlink('nothing', at('Echo/gone')), /gone: a symlink that leads nowhere/],
    ['a symlink to a parent', () => symlink('..', at('Echo/__init__')), /a symlink out of/],
    [
      'a circle',
      async () => {
        await mkdir(at('Echo/deep'));
        await symlink('..', at('Echo/deep/up'));
      },
      /deep\/up: a symlink to a folder that it lies in/,
    ],
    [
      'an ignore file that cannot be read',
      () => put('Echo/.modelserveignore', '[a-'),
      /\.modelserveignore: line 1/,
    ],
  ])('%s', async (_what, change, message) => {
    await change();
    await expect(snapshotPackage(source())).rejects.toThrow(message);
    await expect(readdir(join(root, 'snapshots'))).rejects.toThrow('ENOENT');
  });

  it('what is neither file nor folder', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(at('Echo/control.sock'), resolve));
    try {
      await expect(hashPackage(source())).rejects.toThrow(/control\.sock: neither a file nor a folder/);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('more than 10,000 files and folders, naming where they are', async () => {
    await mkdir(at('Echo/frames'));
    await Promise.all(
      Array.from({ length: 10_000 }, (_, index) => writeFile(at('Echo/frames', `${index}`), '')),
    );
    await expect(hashPackage(source())).rejects.toThrow(
      /more than 10000 files and folders; most of it is in frames/,
    );
  });

  it('more than 2 GiB, without reading it', async () => {
    await put('Echo/data/huge.bin', '');
    await truncate(at('Echo/data/huge.bin'), 2 * 1024 ** 3 + 1);
    await expect(hashPackage(source())).rejects.toThrow(/more than 2048 MiB; most of it is in data/);
  });

  it.each(['Missing', '', '..', 'Echo/..', '../algopkg/Echo'])('package %j', async (name) => {
    await expect(hashPackage(source(name))).rejects.toMatchObject({ code: 'PACKAGE_NOT_FOUND' });
  });

  it('a package that is written to while it is read', async () => {
    await put('Echo/weights.bin', new Uint8Array(48 * 1024 ** 2));
    const refused = expect(snapshotPackage(source())).rejects.toMatchObject({ code: 'PACKAGE_CHANGED' });
    let isDone = false;
    const done = refused.finally(() => {
      isDone = true;
    });
    for (let round = 0; !isDone && round < 100_000; round += 1)
      await writeFile(at('Echo/weights.bin'), `${round}`, { flag: 'r+' });
    await done;
  });
});

describe('pruneSnapshots', () => {
  it('deletes old snapshots that nothing names, and remains of interrupted runs', async () => {
    const kept = await snapshotPackage(source());
    await put('Echo/backend.py', 'two');
    const unnamed = await snapshotPackage(source());
    await put('Echo/backend.py', 'three');
    const young = await snapshotPackage(source());
    const remains = join(root, 'snapshots', '.tmp-0123');
    await mkdir(join(remains, 'algopkg'), { recursive: true });
    for (const folder of [kept.snapshotDir, unnamed.snapshotDir, remains]) await utimes(folder, 1, 1);
    const deleted = await pruneSnapshots({
      snapshotsDir: join(root, 'snapshots'),
      keep: [kept.hash],
      graceMs: HOUR_MS,
    });
    expect(deleted).toEqual([unnamed.hash]);
    expect(await readdir(join(root, 'snapshots'))).toEqual([kept.hash, young.hash].sort());
  });

  it('spares an old snapshot that has just been asked for again', async () => {
    const pin = await snapshotPackage(source());
    await utimes(pin.snapshotDir, 1, 1);
    await snapshotPackage(source());
    expect(
      await pruneSnapshots({ snapshotsDir: join(root, 'snapshots'), keep: [], graceMs: HOUR_MS }),
    ).toEqual([]);
  });

  it('has nothing to do where no snapshot was ever made', async () => {
    expect(
      await pruneSnapshots({ snapshotsDir: join(root, 'snapshots'), keep: [], graceMs: HOUR_MS }),
    ).toEqual([]);
  });
});
