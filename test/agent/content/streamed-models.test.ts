import { execFile, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import { ServerOrigin } from '../../../src/models/streaming/stream-origin.ts';
import { pinnedSpec } from '../../cluster/builders.ts';
import { startWebServer, type WebServer } from '../../models/web-server.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ContentCluster, type ContentPlace, writeTree } from './place.ts';

const MIB = 1024 ** 2;
const IMPATIENT = { attempts: 2, backoffMs: 5, silenceMs: 5_000 };
const content = randomBytes(20 * MIB + 17);
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const quiet = () => ({ onProgress: () => undefined, signal: new AbortController().signal });

/** A head that alone can ask the server, a worker beside it, and a spec pinned by what the server lists. */
async function streamed(): Promise<{
  web: WebServer;
  cluster: ContentCluster;
  head: ContentPlace;
  worker: ContentPlace;
  spec: PinnedSpec;
}> {
  const web = await startWebServer();
  web.files.set('/m.bin', content);
  const cluster = new ContentCluster();
  const head = await cluster.node('head', {
    isHead: true,
    origins: (listings) => {
      const origin = new ServerOrigin({}, listings, { exchange: IMPATIENT, log: silentLog });
      onTestFinished(async () => await origin.close());
      return [origin];
    },
  });
  const worker = await cluster.node('worker');
  const remote = new RemoteModels(
    { variables: {}, partialDir: head.paths.partial, digestsDir: head.paths.digests, exchange: IMPATIENT },
    { store: head.service.store, streaming: head.service, log: silentLog },
  );
  onTestFinished(async () => await remote.stop());
  const uri = `${web.url}/m.bin`;
  const look = { isDryRun: false, isStreamed: true, signal: new AbortController().signal };
  const { pin } = await remote.obtain(uri, look);
  const project = tempDir();
  writeTree(project, { 'algopkg/Echo/backend.py': '' });
  const spec = pinnedSpec({
    ...{ models: [uri], modelPins: [pin], stream: true, projectDir: project },
    modelRoot: join(project, 'Model_ZOO'),
  });
  return { web, cluster, head, worker, spec };
}

const held = (web: WebServer): ((go?: boolean) => void) => {
  const waiting: (() => void)[] = [];
  let isHeld = true;
  web.trouble = (request, response) => {
    if (isHeld) waiting.push(() => web.answer(request, response));
    return isHeld;
  };
  return () => {
    isHeld = false;
    for (const go of waiting.splice(0)) go();
  };
};

const isSticky = (path: string): boolean => (statSync(path).mode & 0o1000) !== 0;

test('a worker sees the model at once and gets its bytes from the head, which asks the server once', async () => {
  const { web, head, worker, spec } = await streamed();
  const letGo = held(web);
  web.sentBytes = 0;
  const views = await Promise.all(
    [head, worker].map(async ({ service }) => await service.contents.obtainModels(spec, quiet())),
  );
  const paths = views.map(({ modelRoot }) => join(modelRoot, 'm.bin'));
  for (const path of paths) expect([statSync(path).size, isSticky(path)]).toEqual([content.length, true]);
  const coming = [head, worker].map(({ service }) => service.contents.coming(spec));
  expect(coming[1]?.line).toMatch(/^fetching http:.*m\.bin: 0 bytes of 20 MiB/);
  letGo();
  await Promise.all(coming.map((models) => models?.whole));
  for (const path of paths) expect([isSticky(path), sha(readFileSync(path))]).toEqual([false, sha(content)]);
  expect(web.sentBytes).toBe(content.length);
  for (const { service } of [head, worker]) {
    await expect.poll(() => service.contents.coming(spec)).toBeNull();
    expect((await service.store.find(sha(content)))?.root).toBe(service.store.pathOf(sha(content)));
    expect((await service.contents.obtainModels(spec, quiet())).modelRoot).toBe(
      views[service === head.service ? 0 : 1]?.modelRoot,
    );
  }
});

test('a worker that comes when the head has all of it fetches it by its hash', async () => {
  const { web, head, worker, spec } = await streamed();
  await head.service.contents.obtainModels(spec, quiet());
  await head.service.contents.coming(spec)?.whole;
  await expect.poll(() => head.service.contents.coming(spec)).toBeNull();
  web.sentBytes = 0;
  const { modelRoot } = await worker.service.contents.obtainModels(spec, quiet());
  expect(worker.service.contents.coming(spec)).toBeNull();
  expect(sha(readFileSync(join(modelRoot, 'm.bin')))).toBe(sha(content));
  expect(web.sentBytes).toBe(0);
});

test('a worker hears from the head why the server gives nothing, and shows no byte', async () => {
  const { web, worker, spec } = await streamed();
  const letGo = held(web);
  const { modelRoot } = await worker.service.contents.obtainModels(spec, quiet());
  const coming = worker.service.contents.coming(spec);
  web.files.set('/m.bin', randomBytes(content.length));
  letGo();
  await expect(coming?.whole).rejects.toThrow(/m\.bin was replaced or removed while it was fetched/);
  expect(isSticky(join(modelRoot, 'm.bin'))).toBe(true);
  await expect(worker.service.contents.enter(spec, { command: 'sh', env: {} }, quiet())).rejects.toThrow(
    /was replaced/,
  );
});

test('a worker whose head is started anew in the middle goes on with what is missing', async () => {
  const { web, cluster, head, worker, spec } = await streamed();
  const letGo = held(web);
  await worker.service.contents.obtainModels(spec, quiet());
  const coming = worker.service.contents.coming(spec);
  await head.service.stop();
  letGo();
  await cluster.node('head', {
    ...{ isHead: true, root: head.paths.root },
    origins: (listings) => [new ServerOrigin({}, listings, { exchange: IMPATIENT, log: silentLog })],
  });
  await coming?.whole;
  expect((await worker.service.store.find(sha(content)))?.hash).toBe(sha(content));
});

test('in memory a worker gets it from the head as well, and programs wait for what was given back', async () => {
  const { web, worker, spec } = await streamed();
  const inMemory = { ...spec, stream: { expireMs: 1_000 } };
  web.sentBytes = 0;
  const { modelRoot } = await worker.service.contents.obtainModels(inMemory, quiet());
  const path = join(modelRoot, 'm.bin');
  await worker.service.contents.coming(inMemory)?.whole;
  expect([web.sentBytes, sha(readFileSync(path))]).toEqual([content.length, sha(content)]);
  expect(realpathSync(path).startsWith(worker.paths.memory)).toBe(true);
  expect([worker.service.contents.coming(inMemory), existsSync(worker.paths.models)]).toEqual([null, false]);
  await expect.poll(() => isSticky(path) && statSync(path).blocks, { timeout: 20_000 }).toBe(0);
  const program = { command: 'sha256sum', env: { PATH: process.env['PATH'] ?? '' } };
  const variables = await worker.service.contents.enter(inMemory, program, quiet());
  const run = promisify(execFile)(program.command, [path], { env: { ...program.env, ...variables } });
  expect((await run).stdout.split(' ')[0]).toBe(sha(content));
});

test('a statically linked interpreter starts when all is there, which is said meanwhile', async (context) => {
  const command = join(tempDir(), 'interpreter');
  writeFileSync(`${command}.c`, 'int main(void) { return 0; }');
  const { status } = spawnSync('cc', ['-static', '-o', command, `${command}.c`]);
  context.skip(status !== 0, 'cc links no static program here: libc.a is missing');
  const { web, head, spec } = await streamed();
  const letGo = held(web);
  const { modelRoot } = await head.service.contents.obtainModels(spec, quiet());
  const lines: string[] = [];
  const progress = { ...quiet(), onProgress: (line: string) => void lines.push(line) };
  const entering = head.service.contents.enter(spec, { command, env: {} }, progress);
  await expect
    .poll(() => lines[0], { timeout: 20_000 })
    .toMatch(
      /^fetching http:.*m\.bin: .*; it is waited for, since \/.*interpreter is linked statically, and waits for no file$/,
    );
  letGo();
  expect(await entering).toEqual({});
  expect(sha(readFileSync(join(modelRoot, 'm.bin')))).toBe(sha(content));
});

test('a listing that no head knows is said to be missing, with what to do', async () => {
  const { worker, spec } = await streamed();
  const [pin] = spec.modelPins;
  const modelPins = [{ name: pin?.name ?? '', sizeBytes: 1, sha256: null, listing: sha(content) }];
  await expect(worker.service.contents.obtainModels({ ...spec, modelPins }, quiet())).rejects.toThrow(
    /no head of the cluster knows .* run `modelserve controller` again/,
  );
});
