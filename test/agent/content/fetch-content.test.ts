import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ContentServer } from '../../../src/agent/content/content-server.ts';
import type { ObtainProgress } from '../../../src/agent/content/node-contents.ts';
import { PieceSet } from '../../../src/lib/content/pieces.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { pinnedSpec } from '../../cluster/builders.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ContentCluster, type ContentPlace, KEYS, keepModel, sha256Of } from './place.ts';

const MIB = 1024 ** 2;
const SOON = { timeout: 30_000, interval: 5 };

/** The model folder that a spec with this one model gets on the node. */
async function obtain(
  place: ContentPlace,
  hash: string,
  sizeBytes: number,
  progress: Partial<ObtainProgress> = {},
) {
  const lines: string[] = [];
  const spec = pinnedSpec({
    models: ['m.bin'],
    modelPins: [{ name: 'm.bin', sizeBytes, sha256: hash }],
    ...{ modelRoot: '/nowhere/Model_ZOO', projectDir: '/nowhere' },
  });
  const here = await place.service.contents.obtainModels(spec, {
    onProgress: (line) => {
      lines.push(line);
      progress.onProgress?.(line);
    },
    signal: progress.signal ?? new AbortController().signal,
  });
  return { here, lines, file: join(here.modelRoot, 'm.bin') };
}

/** A model of 1 MiB, whole on a head. */
async function headAndWorker() {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const worker = await cluster.node('worker');
  const { hash } = await keepModel(head, MIB);
  return { cluster, worker, hash };
}

test('nodes that fetch together take little more than one copy from the head', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const { hash, bytes } = await keepModel(head, 50 * MIB + 3);
  const workers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => cluster.node(name)));
  const got = await Promise.all(workers.map((worker) => obtain(worker, hash, bytes.length)));
  for (const { file, here } of got) {
    expect(readFileSync(file).equals(bytes)).toBe(true);
    expect(here.projectDir).toBe(join(here.modelRoot, '..'));
    expect(statSync(file).mode & 0o777).toBe(0o444);
  }
  for (const { paths } of workers) expect(existsSync(join(paths.partial, hash))).toBe(false);
});

test('goes on with what it had, after its own end and with a head on another port', async () => {
  const cluster = new ContentCluster();
  const root = tempDir();
  const head = await cluster.node('head', { isHead: true, root: tempDir() });
  const { hash, bytes } = await keepModel(head, 40 * MIB);
  const first = await cluster.node('a', { root });
  const leave = new AbortController();
  const cut = obtain(first, hash, bytes.length, { signal: leave.signal });
  cut.catch(() => undefined);
  const progress = join(first.paths.partial, hash, 'progress.json');
  await expect.poll(() => existsSync(progress), SOON).toBe(true);
  leave.abort();
  await expect(cut).rejects.toThrow();
  await first.service.stop();
  await head.service.stop();
  const again = await cluster.node('a', { root });
  const wait = obtain(again, hash, bytes.length);
  await cluster.node('head', { isHead: true, root: head.paths.root });
  expect(readFileSync((await wait).file).equals(bytes)).toBe(true);
});

test('takes from another node what the head has not, also without a head', async () => {
  const cluster = new ContentCluster();
  const other = await cluster.node('other');
  const { hash, bytes } = await keepModel(other, 5 * MIB);
  const alone = await cluster.node('alone');
  expect(readFileSync((await obtain(alone, hash, bytes.length)).file).equals(bytes)).toBe(true);
  await cluster.node('head', { isHead: true });
  const late = await cluster.node('late');
  expect(readFileSync((await obtain(late, hash, bytes.length)).file).equals(bytes)).toBe(true);
});

test('a node that lies is found out by the hash, and the head believed instead', async () => {
  const cluster = new ContentCluster();
  const head = await cluster.node('head', { isHead: true });
  const { hash, bytes } = await keepModel(head, 20 * MIB);
  const lie = join(tempDir(), 'lie');
  writeFileSync(lie, Buffer.alloc(bytes.length, 1));
  const files = [{ path: '', sizeBytes: bytes.length, sha256: hash, executable: false }];
  const liar = new ContentServer(
    { host: '127.0.0.1', keys: KEYS, tls: null },
    {
      find: async () => ({ root: lie, files, held: PieceSet.full(5) }),
      ...{ desk: () => null, streaming: head.service, log: silentLog },
    },
  );
  await liar.start();
  onTestFinished(async () => await liar.stop());
  cluster.nodes.push({ nodeId: 'liar', address: `127.0.0.1:${liar.port}`, isHead: false, up: true });
  const worker = await cluster.node('worker');
  expect(readFileSync((await obtain(worker, hash, bytes.length)).file).equals(bytes)).toBe(true);
});

test('what nobody has is said to be missing, with what to do', async () => {
  const cluster = new ContentCluster();
  await cluster.node('head', { isHead: true });
  const worker = await cluster.node('worker');
  await expect(obtain(worker, sha256Of('gone'), 4)).rejects.toMatchObject({
    code: 'CONTENT_MISSING',
    message: expect.stringMatching(/model m\.bin .* run `modelserve controller` again/),
  });
});

test('however many replicas ask at once, one copy comes, and each hears of it', async () => {
  const { cluster, worker, hash } = await headAndWorker();
  let heard = 0;
  let allHeard = (): void => undefined;
  cluster.gate = new Promise<void>((resolve) => {
    allHeard = resolve;
  });
  const ask = () =>
    obtain(worker, hash, MIB, {
      onProgress: (line) => {
        if (line.includes('looking for')) heard += 1;
        if (heard === 8) allHeard();
      },
    });
  const all = await Promise.all(Array.from({ length: 8 }, ask));
  expect(new Set(all.map(({ file }) => file)).size).toBe(1);
  expect(heard).toBe(8);
  expect(existsSync(join(worker.paths.partial, hash))).toBe(false);
});

test('what has come since a replica looked for it does not come again', async () => {
  const { cluster, worker, hash } = await headAndWorker();
  await obtain(worker, hash, MIB);
  const { questions } = cluster;
  vi.spyOn(worker.service.store, 'find').mockResolvedValueOnce(null); // what it was when the replica looked
  await obtain(worker, hash, MIB);
  expect(cluster.questions).toBe(questions);
});

test('a replica that comes while a fetch ends which nobody waited for gets one of its own', async () => {
  const { cluster, worker, hash } = await headAndWorker();
  let answer = (): void => undefined;
  cluster.gate = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const leave = new AbortController();
  const first = obtain(worker, hash, MIB, { signal: leave.signal });
  await expect.poll(() => cluster.questions, SOON).toBe(1);
  leave.abort(new Error('drained'));
  await expect(first).rejects.toThrow('drained');
  const { signal } = new AbortController();
  const asks = vi.spyOn(signal, 'throwIfAborted'); // the last that a replica does before it waits
  const second = obtain(worker, hash, MIB, { signal });
  await expect.poll(() => asks.mock.calls.length, SOON).toBeGreaterThan(0);
  answer();
  expect(statSync((await second).file).size).toBe(MIB);
});

test('several replicas wait for one fetch, which ends when none of them waits any more', async () => {
  const cluster = new ContentCluster();
  const worker = await cluster.node('worker'); // nobody has it, nobody is a head: it waits
  const leave = new AbortController();
  const both = [1, 2].map(() => obtain(worker, sha256Of('x'), 1, { signal: leave.signal }));
  for (const one of both) one.catch(() => undefined);
  leave.abort(new Error('drained'));
  for (const one of both) await expect(one).rejects.toThrow('drained');
});

test('what the disk has no room for is refused before anything is written', async () => {
  const cluster = new ContentCluster();
  const worker = await cluster.node('worker');
  const hash = sha256Of('larger than any disk');
  const sizeBytes = 2 ** 44;
  const files = [{ path: '', sizeBytes, sha256: hash, executable: false }];
  const head = new ContentServer(
    { host: '127.0.0.1', keys: KEYS, tls: null },
    {
      ...{ desk: () => null, streaming: worker.service },
      find: async () => ({ root: '/nowhere', files, held: new PieceSet(0) }),
      log: silentLog,
    },
  );
  await head.start();
  onTestFinished(async () => await head.stop());
  cluster.nodes.push({ nodeId: 'head', address: `127.0.0.1:${head.port}`, isHead: true, up: true });
  await expect(obtain(worker, hash, sizeBytes)).rejects.toMatchObject({
    code: 'DISK_FULL',
    message: expect.stringMatching(/model m\.bin needs 16384 GiB more.*make room there/),
  });
  expect(existsSync(join(worker.paths.partial, hash))).toBe(false);
});
