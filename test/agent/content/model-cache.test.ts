import { existsSync, linkSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { viewKey } from '../../../src/agent/content/model-view.ts';
import type { ModelPin, PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { folderHash } from '../../../src/lib/content/manifest.ts';
import { sha256 } from '../../../src/lib/hash.ts';
import { pinnedSpec } from '../../cluster/builders.ts';
import { ContentCluster, type ContentPlace, keepModel } from './place.ts';

const KIB = 1024;
const forever = new AbortController().signal;
const AN_HOUR_AGO = new Date(Date.now() - 3_600_000);

/** A head with models of 100 KiB each, and a worker that may keep 250 KiB. */
async function open() {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const needed: PinnedSpec[] = [];
  const worker = await cluster.node('worker', { limitBytes: 250 * KIB, needed: () => needed });
  const pins: ModelPin[] = [];
  for (const name of ['a.bin', 'b.bin', 'c.bin']) {
    const { hash } = await keepModel(head, 100 * KIB);
    pins.push({ name, sizeBytes: 100 * KIB, sha256: hash });
  }
  return { head, worker, needed, specs: pins.map(specOf) };
}

function specOf(pin: ModelPin): PinnedSpec {
  return pinnedSpec({ modelPins: [pin], modelRoot: '/nowhere/Model_ZOO', projectDir: '/nowhere' });
}

async function obtain(place: ContentPlace, spec: PinnedSpec | undefined): Promise<PinnedSpec> {
  if (spec === undefined) expect.fail('no such model');
  return await place.service.contents.obtainModels(spec, { onProgress: () => undefined, signal: forever });
}

const hashOf = (spec: PinnedSpec | undefined): string => spec?.modelPins[0]?.sha256 ?? '';

/** What is kept, when the clock of files tells no two apart, is told apart here. */
function usedLongAgo(place: ContentPlace, spec: PinnedSpec | undefined): void {
  const view = join(place.paths.views, viewKey(spec?.modelPins ?? []), 'Model_ZOO');
  for (const path of [
    join(place.paths.contents, `${hashOf(spec)}.json`),
    join(place.paths.models, hashOf(spec)),
    view,
  ]) {
    utimesSync(path, AN_HOUR_AGO, AN_HOUR_AGO);
  }
}

test('what was used longest ago makes way for what is fetched, with the folders that show it', async () => {
  const { worker, specs } = await open();
  const [a, b, c] = specs;
  await obtain(worker, a);
  await obtain(worker, b);
  usedLongAgo(worker, b);
  await obtain(worker, c);
  expect(readdirSync(worker.paths.models).sort()).toEqual([hashOf(a), hashOf(c)].sort());
  expect(statSync(join(worker.paths.models, hashOf(a))).nlink).toBe(2);
  expect(existsSync(join(worker.paths.views, viewKey(b?.modelPins ?? [])))).toBe(false);
  await obtain(worker, b); // the head has it
});

test('nothing that is needed makes way; what is missing is said, with what to do', async () => {
  const { worker, specs, needed } = await open();
  const [a, b, c] = specs;
  needed.push(...specs.slice(0, 2));
  for (const spec of [a, b]) {
    await obtain(worker, spec);
    usedLongAgo(worker, spec);
  }
  await expect(obtain(worker, c)).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringMatching(
      /c\.bin needs 102400 bytes more; this node keeps 256000 bytes of models at most \(--model-cache\), of which 204800 bytes are needed by what runs here/,
    ),
  });
  expect(readdirSync(worker.paths.models).sort()).toEqual([hashOf(a), hashOf(b)].sort());
  needed.length = 0;
  await obtain(worker, c);
});

test('what is held stays until it is let go, and two do not count on the same room', async () => {
  const { worker, specs } = await open();
  const { cache } = worker.service;
  await obtain(worker, specs[0]);
  const held = new AbortController();
  cache.hold(hashOf(specs[0]), held.signal);
  const wish = (name: string) => ({ folder: join(worker.paths.partial, name), totalBytes: 120 * KIB });
  const [first, second] = await Promise.all([cache.reserve(wish('one')), cache.reserve(wish('two'))]);
  expect([first.ok, second.ok]).toEqual([true, false]);
  held.abort();
  expect((await cache.reserve(wish('two'))).ok).toBe(true);
  expect(readdirSync(worker.paths.models)).toEqual([]);
});

test('what has come of a fetch counts once, and goes when the fetch was given up', async () => {
  const { worker } = await open();
  const { cache } = worker.service;
  const folder = join(worker.paths.partial, 'half');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'tree'), Buffer.alloc(200 * KIB));
  expect((await cache.reserve({ folder, totalBytes: 240 * KIB })).ok).toBe(true);
  const other = { folder: join(worker.paths.partial, 'other'), totalBytes: 100 * KIB };
  expect((await cache.reserve(other)).ok).toBe(false);
  const [fresh] = await cache.entries();
  expect(fresh).toMatchObject({ name: 'half', isWhole: false });
});

/** Keeps models of 100 KiB each that have their large file in common, as images with a layer in common do. */
async function keepSharing({ service, paths }: ContentPlace, names: readonly string[]): Promise<string[]> {
  const shared = Buffer.alloc(90 * KIB, 's');
  const hashes: string[] = [];
  for (const name of names) {
    const own = Buffer.alloc(10 * KIB, name);
    const files = Object.entries({ own, shared }).map(([path, bytes]) => ({
      ...{ path, sizeBytes: bytes.length, sha256: sha256(bytes), executable: false },
    }));
    const hash = folderHash(files);
    const root = service.store.pathOf(hash);
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, 'own'), own);
    if (hashes[0] === undefined) writeFileSync(join(root, 'shared'), shared);
    else linkSync(join(paths.models, hashes[0], 'shared'), join(root, 'shared'));
    await service.store.add({ hash, root, files });
    hashes.push(hash);
  }
  return hashes;
}

test('what several models share is counted once, and makes way with the last of them', async () => {
  const { worker } = await open();
  const { service, paths } = worker;
  const [first = '', ...others] = await keepSharing(worker, ['a', 'b', 'c']);
  expect(await service.modelBytes()).toBe(120 * KIB);
  expect((await service.cache.entries()).map(({ sizeBytes }) => sizeBytes)).toEqual(Array(3).fill(100 * KIB));
  const wish = (kib: number) => ({ folder: join(paths.partial, `of-${kib}`), totalBytes: kib * KIB });
  const fitting = await service.cache.reserve(wish(130));
  expect([fitting.ok, readdirSync(paths.models).length]).toEqual([true, 3]);
  if (fitting.ok) fitting.release();
  for (const path of [join(paths.contents, `${first}.json`), join(paths.models, first)]) {
    utimesSync(path, AN_HOUR_AGO, AN_HOUR_AGO);
  }
  expect((await service.cache.reserve(wish(140))).ok).toBe(true); // the 10 KiB that one of them has alone
  expect(readdirSync(paths.models).sort()).toEqual([...others].sort());
});

test('a fetch that nobody goes on with makes way, and a smaller limit is kept to', async () => {
  const { worker, specs } = await open();
  for (const name of ['left', 'fresh']) {
    mkdirSync(join(worker.paths.partial, name), { recursive: true });
    writeFileSync(join(worker.paths.partial, name, 'tree'), Buffer.alloc(100 * KIB));
  }
  utimesSync(join(worker.paths.partial, 'left'), AN_HOUR_AGO, AN_HOUR_AGO);
  await obtain(worker, specs[0]);
  expect(readdirSync(worker.paths.partial)).toEqual(['fresh']);
  await keepModel(worker, 200 * KIB);
  await worker.service.cache.trim();
  expect((await worker.service.cache.entries()).map(({ isWhole }) => isWhole)).not.toContain(undefined);
  const total = (await worker.service.cache.entries()).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  expect(total).toBeLessThanOrEqual(250 * KIB);
});
