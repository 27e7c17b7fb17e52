import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/lib/hash.ts';
import { tarOf } from '../models/oci/tar-bytes.ts';
import { installAzureServer } from './support/azure-server.ts';
import { TestHead } from './support/cluster.ts';
import { hasNginx } from './support/nginx-server.ts';
import { azureOrigin, googleOrigin, nginxOrigin, type Origin, ossOrigin } from './support/origins.ts';
import { Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

const WHAT = 'a deployment of each scheme';
/** Says what it has found in its model's folder. */
const BACKEND = `
import hashlib, os
class Backend:
    def __init__(self, model_path):
        root = os.path.join(*model_path.split(','))
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
        self.found = {os.path.relpath(path, root): self.hashed(path) for path in paths}
    def hashed(self, path):
        with open(path, 'rb') as file:
            return hashlib.sha256(file.read()).hexdigest()
    async def __call__(self, request):
        return self.found
`;

const azure = hasRedis ? installAzureServer(WHAT) : null;
const schemes: Readonly<Record<string, (() => Promise<Origin>) | null>> = {
  Azure: azure === null ? null : async () => await azureOrigin(azure),
  Google: googleOrigin,
  Alibaba: ossOrigin,
  Archive: hasNginx(WHAT) ? nginxOrigin : null,
};
const there = Object.entries(schemes).flatMap(([name, start]) => (start === null ? [] : [{ name, start }]));

describe.skipIf(!hasRedis)('a deployment answers with a model of', () => {
  const weights = randomBytes(9 * 1024 ** 2);
  const labels = Buffer.from('cat');
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-schemes-'));
  const project = new Project();
  const origins: Origin[] = [];
  let head: TestHead;

  beforeAll(async () => {
    const env: Record<string, string> = {};
    const sections: Record<string, Record<string, string | number>> = {};
    for (const { name, start } of there) {
      const origin = await start();
      origins.push(origin);
      Object.assign(env, origin.variables(folder, origin.url));
      await origin.put('m/weights.bin', weights);
      await origin.put('m/deep/labels.txt', labels);
      const parts = [
        { name: 'weights.bin', content: weights },
        { name: 'deep/labels.txt', content: labels },
      ];
      await origin.put('m.tar.gz', gzipSync(tarOf(...parts)));
      const model =
        name === 'Archive' ? `unpack+${origin.uri(origin.url, 'm.tar.gz')}` : origin.uri(origin.url, 'm/');
      project.package(name, BACKEND);
      sections[name] = { backend: 'Backend', route: name.toLowerCase(), min_ready_s: 0.2, model };
    }
    project.sections(sections);
    head = await TestHead.start({ conf: project.conf, env, args: ['--num-gpus', '0'] });
  });

  afterAll(async () => {
    await head?.dispose();
    for (const origin of origins) await origin.stop();
    project.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(there.map(({ name }) => name))('%s', async (name) => {
    const answer = async () =>
      await (await fetch(head.url(name.toLowerCase()), { method: 'POST', body: '{}' })).json();
    await until('an answer', async () => 'weights.bin' in ((await answer()) as object), 90_000);
    expect(await answer()).toEqual({
      ...{ 'weights.bin': sha256(weights), 'deep/labels.txt': sha256(labels) },
    });
  });
});
