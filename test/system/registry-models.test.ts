import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { modelserve, TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';
import { hasRegistry, TestRegistry } from './support/registry.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

const BACKEND = `
import os
class Backend:
    def __init__(self, model_path):
        zoo, name = model_path.split(',')
        with open(os.path.join(zoo, name, 'deep', 'version.txt')) as file:
            self.version = file.read()
    async def __call__(self, request):
        return self.version
`;

describe.skipIf(!hasRedis || !hasRegistry)('a model in a registry', () => {
  const project = new Project();
  let registry: TestRegistry;
  let head: TestHead;

  const push = async (version: string, tag: string): Promise<string> => {
    project.write('pushed/deep/version.txt', version);
    const target = `oci://${registry.host}/team/mymodel:${tag}`;
    const { stdout } = await modelserve(['model', 'push', join(project.dir, 'pushed'), target]);
    return /@(sha256:[0-9a-f]{64})\n/.exec(stdout)?.[1] ?? expect.fail(stdout);
  };

  const serve = (suffix: string): void =>
    project.sections({
      Image: {
        ...{ backend: 'Backend', route: 'image', min_ready_s: 0.2 },
        model: `oci://${registry.host}/team/mymodel${suffix}`,
      },
    });

  const answer = async (): Promise<string> =>
    await (await fetch(head.url('image'), { method: 'POST', body: '{}' })).text();

  const digests: string[] = [];

  beforeAll(async () => {
    registry = await TestRegistry.start();
    digests.push(await push('one', 'latest'));
    project.package('Image', BACKEND);
    serve('');
    head = await TestHead.start({ conf: project.conf });
  });

  afterAll(async () => {
    await head?.dispose();
    await registry?.stop();
    project.remove();
  });

  it('is answered with', async () => {
    await until('an answer', async () => (await answer()) === 'one', 90_000);
    expect((await head.apply(['--dry-run'])).stdout).toContain('Nothing changes.');
  });

  it('is another when latest has moved: the plan says by which digest', async () => {
    digests.push(await push('two', 'latest'));
    const [first = '', second = ''] = digests.map((digest) => digest.slice(0, 19));
    const line = `model content: mymodel ${first} → mymodel ${second}`;
    expect((await head.apply(['--dry-run'])).stdout).toContain(line);
    const { code, stdout } = await head.apply();
    expect([code, stdout]).toEqual([0, expect.stringContaining(line)]);
    expect(await answer()).toBe('two');
  });

  it('goes back by digest, scales and restarts while the registry is down', async () => {
    await registry.kill();
    const { code, stderr } = await head.apply();
    expect([code, stderr]).toEqual([2, expect.stringMatching(/mymodel:latest: .*ECONNREFUSED/)]);
    serve(`@${digests[0]}\nreplicas = 2`);
    expect(await head.apply()).toMatchObject({ code: 0 });
    expect(await answer()).toBe('one');
    const back = await modelserve(['rollback', '2', ...head.client]);
    expect(back).toMatchObject({ code: 0 });
    expect(await answer()).toBe('two');
  });
});
