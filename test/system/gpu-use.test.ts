import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { GpuDetail } from '../../src/admin/types.ts';
import { clusterKeys } from '../../src/config/token.ts';
import { fakeNvidiaSmi } from '../support/fake-nvidia-smi.ts';
import { parseMetrics, type Scraped } from '../support/prometheus.ts';
import { TestHead } from './support/cluster.ts';
import { Project } from './support/project.ts';

const MIB = 1024 ** 2;
/** It has a child, whose memory is its own. */
const SOURCE = `
import subprocess

class Backend(object):
    def __init__(self, model_path):
        self.child = subprocess.Popen(['sleep', '600'])

    async def __call__(self, request):
        return {'status': 1}
`;

const project = new Project();
const section = { backend: 'Backend', min_ready_s: 0 };
let head: TestHead;

beforeAll(async () => {
  project.package('Twice', SOURCE);
  project.package('Once', SOURCE.replace("subprocess.Popen(['sleep', '600'])", 'None'));
  project.sections({ Twice: { ...section, gpu_cost: 0.5 }, Once: { ...section, gpu_cost: 0.125 } });
  const card = { folder: project.dir, uuid: `GPU-${randomUUID()}`, usedMib: 3_000 };
  head = await TestHead.start({ conf: project.conf, env: { PATH: fakeNvidiaSmi(card) } });
});

afterAll(async () => {
  await head?.dispose();
  project.remove();
});

async function ask(path: string, key: 'apiKey' | 'metricsKey'): Promise<string> {
  const headers = { authorization: `Bearer ${clusterKeys(head.token)[key]}` };
  const answer = await fetch(`${head.dashboard}${path}`, { headers });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  return text;
}

async function gpus(query = ''): Promise<readonly GpuDetail[]> {
  return (JSON.parse(await ask(`api/v1/gpus${query}`, 'apiKey')) as { gpus: GpuDetail[] }).gpus;
}

async function scrape(): Promise<Scraped> {
  return parseMetrics(await ask('metrics', 'metricsKey'));
}

const replicaMetrics = (metrics: Scraped, name: string): readonly (readonly [string, number])[] =>
  [...metrics]
    .filter(([key]) => key.startsWith(`modelserve_replica_gpu_${name}{`))
    .map(([key, value]) => [/deployment="(\w+)"/.exec(key)?.[1] ?? '', value] as const);

it('tells what each replica uses of a GPU, with all its processes, and of what share', async () => {
  const usedOf = async () =>
    (await gpus())[0]?.replicas.map(({ deployment, memory_used_bytes: bytes }) => [deployment, bytes]);
  await expect.poll(usedOf, { timeout: 90_000, interval: 500 }).toEqual(
    expect.arrayContaining([
      ['Twice', 6_000 * MIB],
      ['Once', 3_000 * MIB],
    ]),
  );
  const [card] = await gpus();
  expect(card).toMatchObject({
    ...{ index: 0, name: 'Fake H200', free: 0.375, busy: 0.4 },
    ...{ memory_bytes: 20_000 * MIB, memory_used_bytes: 12_345 * MIB },
  });
  const twice = card?.replicas.find(({ deployment }) => deployment === 'Twice');
  expect(twice).toMatchObject({ fraction: 0.5, memory_share_bytes: 10_000 * MIB, busy: 0.4 });
  expect(await gpus(`?replica=${twice?.replica}`)).toEqual([card]);
  expect(await gpus('?replica=none')).toEqual([]);
  expect(await gpus('?node=none,other')).toEqual([]);
  const metrics = await scrape();
  const sorted = (name: string) => Object.fromEntries(replicaMetrics(metrics, name));
  expect(sorted('memory_used_bytes')).toEqual({ Twice: 6_000 * MIB, Once: 3_000 * MIB });
  expect(sorted('memory_share_bytes')).toEqual({ Twice: 10_000 * MIB, Once: 2_500 * MIB });
  expect(sorted('busy')).toEqual({ Twice: 0.4, Once: 0.2 });
});

it('says no more of a replica that is gone', async () => {
  project.sections({ Once: { ...section, gpu_cost: 0.125 } });
  expect(await head.apply()).toMatchObject({ code: 0 });
  const deployments = async () => replicaMetrics(await scrape(), 'memory_share_bytes').map(([name]) => name);
  await expect.poll(deployments, { timeout: 60_000 }).toEqual(['Once']);
  expect((await gpus())[0]?.replicas.map(({ deployment }) => deployment)).toEqual(['Once']);
});
