import { readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { request } from 'undici';
import { expect, test } from 'vitest';
import { viewKey } from '../../../src/agent/content/model-view.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { keepModels } from '../../../src/models/keep-models.ts';
import { readModels } from '../../../src/models/pins.ts';
import { snapshotPackage } from '../../../src/packages/snapshot.ts';
import { pinnedSpec } from '../../cluster/builders.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ContentCluster, type ContentPlace, KEY, keepModel, sha256Of, writeTree } from './place.ts';

const within = (graceMs: number) => ({ graceMs, modelGraceMs: graceMs });
const quiet = () => ({ onProgress: () => undefined, signal: new AbortController().signal });

/** A project on the head's disk, applied: snapshot and models kept. */
async function applied(
  head: ContentPlace,
  models: readonly string[],
): Promise<PinnedSpec & { project: string }> {
  const project = tempDir();
  writeTree(project, {
    'algopkg/Echo/backend.py': 'class Backend: pass\n',
    'algopkg/Echo/data/empty': '',
    'algopkg/Echo/run.sh': '#!/bin/sh\n',
    'Model_ZOO/m.bin': 'weights one',
    'Model_ZOO/tree/config.json': '{}',
    'Model_ZOO/tree/parts/1': 'part',
  });
  const packagePin = await snapshotPackage({
    packagesDir: join(project, 'algopkg'),
    packageName: 'Echo',
    snapshotsDir: head.paths.snapshots,
  });
  const modelRoot = join(project, 'Model_ZOO');
  const read = await readModels({ modelRoot, models, digestsDir: head.paths.digests });
  await keepModels(
    read.map(({ content }) => content),
    { store: head.service.store, areOurs: false, room: head.service.cache, signal: quiet().signal },
  );
  const modelPins = read.map(({ pin }) => pin);
  const spec = pinnedSpec({ package: packagePin, models, modelPins, modelRoot, projectDir: project });
  return { ...spec, packageName: 'Echo', project };
}

/** The same as seen from a machine that has none of the head's folders. */
function fromAfar(spec: PinnedSpec): PinnedSpec {
  return {
    ...spec,
    package: { ...spec.package, snapshotDir: `/nowhere${spec.package.snapshotDir}` },
    ...{ modelRoot: '/nowhere/Model_ZOO', projectDir: '/nowhere' },
  };
}

test('a machine that never had the project gets package, model file and model folder', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const worker = await cluster.node('worker');
  const spec = await applied(head, ['m.bin', 'tree', 'tree/config.json']);
  const here = await worker.service.contents.obtain(fromAfar(spec), quiet());
  expect(here.package.snapshotDir).toBe(join(worker.paths.snapshots, spec.package.hash));
  expect(readFileSync(join(here.package.snapshotDir, 'algopkg/Echo/backend.py'), 'utf8')).toContain(
    'Backend',
  );
  expect(statSync(join(here.package.snapshotDir, 'algopkg/Echo/data/empty')).size).toBe(0);
  const seen = ['m.bin', 'tree/config.json', 'tree/parts/1'].map((name) =>
    readFileSync(join(here.modelRoot, name), 'utf8'),
  );
  expect(seen).toEqual(['weights one', '{}', 'part']);
  expect(here.projectDir).toBe(join(worker.paths.views, viewKey(spec.modelPins)));
});

test('a model that is replaced under its name leaves the revision its bytes', async () => {
  const head = await new ContentCluster().node('head', { isHead: true });
  const spec = await applied(head, ['m.bin']);
  writeFileSync(join(spec.modelRoot, 'm.bin'), 'weights two');
  const here = await head.service.contents.obtain(spec, quiet());
  expect(readFileSync(join(here.modelRoot, 'm.bin'), 'utf8')).toBe('weights one');
  expect(here.projectDir).toBe(spec.project);
});

test('what lies where the head has it is used there, for as long as it is the same', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const worker = await cluster.node('worker');
  const spec = await applied(head, ['m.bin', 'tree']);
  const here = await worker.service.contents.obtain(spec, quiet());
  expect(here).toMatchObject({ package: spec.package, modelRoot: spec.modelRoot, projectDir: spec.project });
  writeFileSync(join(spec.modelRoot, 'm.bin'), 'weights two');
  const after = await worker.service.contents.obtain(spec, quiet());
  expect(readFileSync(join(after.modelRoot, 'm.bin'), 'utf8')).toBe('weights one');
  expect(readFileSync(join(after.modelRoot, 'tree/config.json'), 'utf8')).toBe('{}');
});

test('a file that was damaged on this node is found by its hash and fetched again', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const worker = await cluster.node('worker');
  const spec = fromAfar(await applied(head, ['m.bin']));
  const here = await worker.service.contents.obtain(spec, quiet());
  for (const file of [
    join(here.modelRoot, 'm.bin'),
    join(here.package.snapshotDir, 'algopkg/Echo/backend.py'),
  ]) {
    rmSync(file);
    writeFileSync(file, 'damage done');
  }
  writeFileSync(worker.service.store.pathOf(spec.modelPins[0]?.sha256 ?? ''), 'damage done');
  const again = await worker.service.contents.obtain(spec, quiet());
  expect(readFileSync(join(again.modelRoot, 'm.bin'), 'utf8')).toBe('weights one');
  expect(readFileSync(join(again.package.snapshotDir, 'algopkg/Echo/backend.py'), 'utf8')).toContain(
    'Backend',
  );
});

test('what only looks touched is read again and kept', async () => {
  const head = await new ContentCluster().node('head', { isHead: true });
  const { hash } = await keepModel(head, 10);
  const path = head.service.store.pathOf(hash);
  const inode = statSync(path).ino;
  utimesSync(path, 1, 1);
  expect((await head.service.store.find(hash))?.root).toBe(path);
  expect(statSync(path).ino).toBe(inode);
});

test('pruning leaves what specs name and what was used lately', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const kept = await applied(head, ['m.bin']);
  const other = await keepModel(head, 10);
  const here = await head.service.contents.obtain(kept, quiet());
  expect(await head.service.prune([kept], within(3_600_000))).toEqual([]);
  expect(await head.service.prune([kept], { graceMs: -1_000, modelGraceMs: 3_600_000 })).toEqual([]);
  expect(await head.service.prune([kept], within(-1_000))).toEqual([other.hash]);
  expect(readFileSync(join(here.modelRoot, 'm.bin'), 'utf8')).toBe('weights one');
  expect([...(await head.service.prune([], within(-1_000)))].sort()).toEqual(
    [kept.package.hash, kept.modelPins[0]?.sha256].sort(),
  );
});

test('nothing is given without the key, and nothing that is no hash', async () => {
  const head = await new ContentCluster().node('head', { isHead: true });
  const { hash, bytes } = await keepModel(head, 100);
  const ask = async (path: string, key = KEY, headers: Record<string, string> = {}) => {
    const answer = await request(`http://127.0.0.1:${head.service.port}/content/${path}`, {
      headers: { authorization: `Bearer ${key}`, ...headers },
    });
    return { status: answer.statusCode, body: Buffer.from(await answer.body.arrayBuffer()) };
  };
  expect((await ask(`${hash}/bytes`)).body.equals(bytes)).toBe(true);
  expect(await ask(`${hash}/bytes`, KEY, { range: 'bytes=10-19' })).toEqual({
    status: 206,
    body: bytes.subarray(10, 20),
  });
  expect((await ask(`${hash}/bytes`, KEY, { range: 'bytes=90-100' })).status).toBe(416);
  for (const key of ['', 'wrong', `${KEY}x`]) expect((await ask(`${hash}/bytes`, key)).status).toBe(401);
  expect((await ask(`${sha256Of('other')}/bytes`)).status).toBe(404);
  for (const name of ['..%2f..%2fetc%2fpasswd', hash.toUpperCase(), `${hash}x`]) {
    expect((await ask(`${name}/bytes`)).status, name).toBe(400);
  }
});

test('a symlink that somebody put into a half-fetched folder is not followed', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const { hash, bytes } = await keepModel(head, 100);
  const worker = await cluster.node('worker');
  const victim = join(tempDir(), 'victim');
  writeFileSync(victim, 'untouched');
  const files = [{ path: '', sizeBytes: bytes.length, sha256: hash, executable: false }];
  writeTree(join(worker.paths.partial, hash), { 'progress.json': JSON.stringify({ files, held: '' }) });
  symlinkSync(victim, join(worker.paths.partial, hash, 'tree'));
  const spec = pinnedSpec({
    modelPins: [{ name: 'm', sizeBytes: 100, sha256: hash }],
    ...{ modelRoot: '/nowhere/zoo', projectDir: '/nowhere' },
  });
  await expect(worker.service.contents.obtainModels(spec, quiet())).rejects.toThrow(/ELOOP/);
  expect(readFileSync(victim, 'utf8')).toBe('untouched');
});
