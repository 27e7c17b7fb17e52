import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ContentStore } from '../../src/lib/content/content-store.ts';
import { silentLog } from '../../src/lib/log.ts';
import { RemoteModels } from '../../src/models/remote-models.ts';
import { TestHead, type TestNode } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { installS3Server, S3Server } from './support/s3-server.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

/** Joins folder and names, as all packages do, and says what it found. */
const BACKEND = `
import hashlib, os
class Backend:
    def __init__(self, model_path):
        zoo, remote, local = model_path.split(',')
        self.found = {}
        for folder, _, names in os.walk(os.path.join(zoo, remote)):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, 'rb') as file:
                    self.found[os.path.relpath(path, zoo)] = hashlib.sha256(file.read()).hexdigest()
        with open(os.path.join(zoo, local)) as file:
            self.found[local] = file.read()
    async def __call__(self, request):
        return self.found
`;

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const KEY = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER', AWS_REGION: 'us-east-1' };
const installed = hasRedis ? installS3Server('models from an S3 server') : null;

describe.skipIf(installed === null)('models from an S3 server that checks signatures', () => {
  const weights = randomBytes(9 * 1024 ** 2);
  const odd = 'a b+c%20é=?#~.json'; // without &: this server escapes it twice in its listings
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-models-'));
  let server: S3Server;

  beforeAll(async () => {
    server = await S3Server.start(installed ?? '', 'models');
    await server.put('models/bert/weights.bin', weights);
    await server.put(`models/bert/deep/${odd}`, Buffer.from('{}'));
    await server.put('models/bert-old/weights.bin', Buffer.from('old'));
  });

  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function obtain(path: string, variables: Record<string, string>) {
    const store = new ContentStore({
      recordsDir: join(folder, 'contents'),
      filesDir: join(folder, 'models'),
    });
    const places = { partialDir: join(folder, 'partial'), digestsDir: join(folder, 'digests') };
    const models = new RemoteModels(
      { variables: { HOME: folder, ...variables }, ...places },
      { store, log: silentLog },
    );
    try {
      const signal = AbortSignal.timeout(60_000);
      return await models.obtain(`s3://${server.url}/models/${path}`, { isDryRun: false, signal });
    } finally {
      await models.stop();
    }
  }

  it.each(['bert', 'bert/'])('gives the folder %s, whatever its files are called', async (path) => {
    const { pin, content } = await obtain(path, KEY);
    expect(pin).toMatchObject({ name: 'bert', sizeBytes: weights.length + 2 });
    expect(content.files.map((file) => file.path)).toEqual([`deep/${odd}`, 'weights.bin']);
    expect(sha(readFileSync(join(content.root, 'weights.bin')))).toBe(sha(weights));
  });

  it('gives a single file', async () => {
    const { pin } = await obtain('bert/weights.bin', KEY);
    expect(pin).toEqual({ name: 'weights.bin', sizeBytes: weights.length, sha256: sha(weights) });
  });

  it.each([
    ['SignatureDoesNotMatch', { ...KEY, AWS_SECRET_ACCESS_KEY: 'another' }],
    ['InvalidAccessKeyId', { ...KEY, AWS_ACCESS_KEY_ID: 'nobody' }],
  ])('is told %s with a wrong key, and says whose it was', async (code, variables) => {
    await expect(obtain('bert/', variables)).rejects.toThrow(
      new RegExp(`s3://.*/models/bert/: the server answers 403 ${code}: .*; asked with AWS_ACCESS_KEY_ID`),
    );
  });

  it('says that nothing is there', async () => {
    await expect(obtain('nothing', KEY)).rejects.toThrow(/no such file, and no folder of that name/);
  });

  it('lists folders of more than one page', async () => {
    const names = Array.from({ length: 1_003 }, (_, index) => `part-${String(index).padStart(4, '0')}`);
    for (const name of names) await server.put(`models/many/${name}`, Buffer.from(name));
    const { content } = await obtain('many/', KEY);
    expect(content.files.map((file) => file.path)).toEqual(names);
  });

  describe('in a deployment', () => {
    const project = new Project();
    let head: TestHead;
    let worker: TestNode;

    beforeAll(async () => {
      project.package('Remote', BACKEND);
      project.write('Model_ZOO/labels.txt', 'cat');
      const model = `s3://${server.url}/models/bert/, labels.txt`;
      project.sections({
        Remote: { backend: 'Backend', route: 'remote', gpu_cost: 1, min_ready_s: 0.2, model },
      });
      head = await TestHead.start({ conf: project.conf, env: KEY, args: ['--num-gpus', '0'] });
      worker = head.worker(['--num-gpus', '2']);
      worker.launch();
    });

    afterAll(async () => {
      await worker?.dispose();
      await head?.dispose();
      project.remove();
    });

    const answer = async (): Promise<Record<string, string>> =>
      (await (await fetch(head.url('remote'), { method: 'POST', body: '{}' })).json()) as Record<
        string,
        string
      >;

    it('reach a worker from the head, which alone has the key', async () => {
      await until('an answer', async () => (await answer())['bert/weights.bin'] === sha(weights), 90_000);
      expect(await answer()).toEqual({
        ...{ 'bert/weights.bin': sha(weights), [`bert/deep/${odd}`]: sha(Buffer.from('{}')) },
        'labels.txt': 'cat',
      });
    });

    it('show in a plan that they have changed on the server, and in force what they are now', async () => {
      expect((await head.apply(['--dry-run'])).stdout).toContain('Nothing changes.');
      const other = randomBytes(1_000);
      await server.put('models/bert/weights.bin', other);
      expect((await head.apply(['--dry-run'])).stdout).toMatch(/model content: bert \w{12} → bert \w{12}/);
      const { code, stdout, stderr } = await head.apply();
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/model content: bert/);
      expect((await answer())['bert/weights.bin']).toBe(sha(other));
    });

    it('stay in force when the server is gone: the apply says why, and changes nothing', async () => {
      project.write('algopkg/Remote/backend.py', `${BACKEND}\n# edited`);
      await server.stop();
      const { code, stderr } = await head.apply();
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /\[algopkg\.Remote\] model: expected a model that can be fetched, found .*ECONNREFUSED/,
      );
      expect((await fetch(head.url('remote'), { method: 'POST', body: '{}' })).status).toBe(200);
    });
  });
});
