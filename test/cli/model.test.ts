import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ExitCode } from '../../src/cli/exit.ts';
import { listCommand } from '../../src/cli/model-list.ts';
import { pruneModels } from '../../src/cli/model-prune.ts';
import { pullModels } from '../../src/cli/model-pull.ts';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { DurableRevisions } from '../../src/controller/revisions.ts';
import { cacheOf } from '../../src/roles/model-catalog.ts';
import { pinnedSpec } from '../cluster/builders.ts';
import { startWebServer } from '../models/web-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { captureOutput } from './capture.ts';

const signal = new AbortController().signal;
const A_WEEK_AGO = new Date(Date.now() - 7 * 86_400_000);

/** A revision of a head that is not running, with deployments of these models. */
async function record(paths: StatePaths, number: number, models: readonly [uri: string, hash: string][]) {
  await new DurableRevisions(paths.revisions).record({
    ...{ number, createdAtMs: 0, confPath: '', confText: '' },
    settings: { port: 8000, maxBodyBytes: 1, ingressProcesses: 1, metricsOpen: false, accessLog: false },
    deployments: models.map(([uri, sha256]) =>
      pinnedSpec({ name: 'Faces', models: [uri], modelPins: [{ name: 'm.bin', sizeBytes: 1, sha256 }] }),
    ),
  });
}

test('a model is fetched ahead, found the second time, listed by its names, and removed when nothing needs it', async () => {
  const output = captureOutput();
  const web = await startWebServer();
  for (const name of ['a', 'b', 'c']) web.files.set(`/${name}.bin`, randomBytes(50_000));
  const paths = statePaths(tempDir());
  const uris = ['a', 'b', 'c'].map((name) => `${web.url}/${name}.bin?signature=secret`);
  expect(await pullModels(paths, { uris, signal })).toBe(ExitCode.done);
  expect(output.stdout()).toMatch(/\/a\.bin: fetched in [\d.]+ s, 0\.1 MB, [0-9a-f]{64}\n/);
  web.requests.length = 0;
  await pullModels(paths, { uris: uris.slice(0, 1), signal });
  expect(output.stdout()).toContain('/a.bin: is here already');
  expect(web.requests.filter((line) => !line.endsWith('bytes=0-0'))).toEqual([]);

  const { store } = cacheOf(paths);
  const hashes = (await store.list()).map(({ hash }) => hash);
  const hashOfName = new Map<string, string>();
  for (const hash of hashes) {
    const bytes = [...web.files].find(([, content]) => content.equals(readFileSync(store.pathOf(hash))));
    hashOfName.set(bytes?.[0] ?? '', hash);
  }
  await record(paths, 1, [[uris[0] ?? '', hashOfName.get('/a.bin') ?? '']]);
  await record(paths, 2, [[uris[1] ?? '', hashOfName.get('/b.bin') ?? '']]);
  await listCommand(paths, { json: false });
  expect(output.stdout()).toMatch(/\/a\.bin .* an earlier revision +ready/);
  expect(output.stdout()).toMatch(/\/b\.bin .* Faces +ready/);
  expect(output.stdout()).toMatch(/\/c\.bin .* – +ready/);
  expect(output.stdout() + output.stderr()).not.toContain('secret');

  expect(await pruneModels(paths, { all: false, dryRun: false })).toBe(ExitCode.done);
  expect(output.stdout()).toContain('nothing to remove; with --all');
  for (const hash of hashes) {
    for (const path of [store.pathOf(hash), join(paths.contents, `${hash}.json`)]) {
      utimesSync(path, A_WEEK_AGO, A_WEEK_AGO);
    }
  }
  const left = async () => (await store.list()).map(({ hash }) => hash).sort();
  await pruneModels(paths, { all: true, dryRun: true });
  expect(output.stdout()).toMatch(/0\.1 MB in all; nothing was removed/);
  expect(await left()).toEqual(hashes);
  await pruneModels(paths, { all: false, dryRun: false });
  expect(await left()).toEqual([hashOfName.get('/a.bin'), hashOfName.get('/b.bin')].sort());
  await pruneModels(paths, { all: true, dryRun: false });
  expect(await left()).toEqual([hashOfName.get('/b.bin')]);
});

test('a fetch that was interrupted is listed with its share, under its URI', async () => {
  const output = captureOutput();
  const web = await startWebServer();
  const content = randomBytes(20 * 1024 ** 2);
  web.files.set('/big.bin', content);
  const stop = new AbortController();
  // The last part never comes.
  web.trouble = ({ headers }) =>
    /bytes=1677/.test(headers.range ?? '') && setTimeout(() => stop.abort(), 200) !== null;
  const paths = statePaths(tempDir());
  const pulled = pullModels(paths, { uris: [`${web.url}/big.bin?sig=secret`], signal: stop.signal });
  expect(await pulled).toBe(ExitCode.failed);
  expect(output.stderr()).toContain('interrupted; what has come stays');
  await listCommand(paths, { json: false });
  expect(output.stdout()).toMatch(/\/big\.bin +– +21\.0 MB +just now +– +\d+ % fetched/);
  mkdirSync(join(paths.partial, 'x'), { recursive: true });
  writeFileSync(join(paths.partial, 'x', 'progress.json'), 'half a recor');
  await listCommand(paths, { json: true });
  expect(JSON.parse(output.stdout().slice(output.stdout().indexOf('\n[')))).toHaveLength(2);
  expect(output.stdout()).not.toContain('secret');
});

test('what is no URI is refused before anything is fetched, and what cannot be had ends with 1', async () => {
  const output = captureOutput();
  const web = await startWebServer();
  const paths = statePaths(tempDir());
  await expect(pullModels(paths, { uris: ['m.bin'], signal })).rejects.toMatchObject({
    data: { exitCode: ExitCode.usage },
  });
  expect(await pullModels(paths, { uris: [`${web.url}/none.bin`], signal })).toBe(ExitCode.failed);
  expect(output.stderr()).toMatch(/none\.bin: the server has no such file/);
});
