import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, TestHead, TestNode } from './support/cluster.ts';
import { type Load, steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis, TestRedis } from './support/stores.ts';
import { until } from './support/until.ts';

const section = { backend: 'Backend', route: 'echo', replicas: 4, min_ready_s: 0.5 };

describe.skipIf(!hasRedis)('a given Redis that goes away, is emptied, or comes back older', () => {
  const project = new Project();
  let redis: TestRedis;
  let head: TestHead;
  let worker: TestNode;
  let load: Load;

  beforeAll(async () => {
    redis = await TestRedis.start();
    project.package('Echo', echoSource());
    project.sections({ Echo: section });
    head = await TestHead.start({ conf: project.conf, args: ['--redis', redis.url] });
    const [httpPort = 0] = await freePorts(1);
    const token = ['--token-file', `${head.stateDir}/token`];
    worker = new TestNode(['worker', '--redis', redis.url, '--http-port', String(httpPort), ...token]);
    worker.launch();
    await worker.says(/joined/);
    load = steadyLoad(head.url('echo'));
    await load.more(100);
  });

  afterAll(async () => {
    const outcome = await load?.stop();
    await worker?.dispose();
    await head?.dispose();
    await redis?.dispose();
    project.remove();
    expect(outcome?.failures.slice(0, 5)).toEqual([]);
  });

  async function picture(): Promise<readonly string[]> {
    const { deployments, nodes } = await head.status();
    expect(nodes.filter((node) => node.alive)).toHaveLength(2);
    return (deployments[0]?.replicas ?? [])
      .map((one) => `${one.id} ${one.node} ${one.pid} ${one.phase}`)
      .sort();
  }

  async function changesWork(number: number): Promise<void> {
    project.sections({ Echo: { ...section, user_config: `{"number": ${number}}` } });
    const applied = await head.apply();
    expect(applied, applied.stderr).toMatchObject({ code: 0 });
    expect(load.failures().slice(0, 5)).toEqual([]);
  }

  it('is gone for 30 s: nothing restarts, commands say so, everything resumes', async () => {
    const before = await picture();
    await redis.kill();
    const goneAt = performance.now();
    await until('status to say so', async () => !(await head.status()).store.ok);
    const refused = await head.apply();
    expect(refused.code).toBe(4);
    await until(
      '30 s to have passed under load',
      async () => {
        await load.more(50);
        return performance.now() - goneAt > 30_000;
      },
      60_000,
    );
    await redis.launch();
    await until('the store to be ok', async () => (await head.status()).store.ok);
    await changesWork(1);
    expect(await picture()).toEqual(before);
  });

  it('is emptied: nothing restarts', async () => {
    const before = await picture();
    await redis.command('FLUSHALL');
    await changesWork(2);
    expect(await picture()).toEqual(before);
  });

  it('comes back with an older snapshot: nothing restarts, the newest revision stays', async () => {
    await redis.command('SAVE');
    await changesWork(3);
    const before = await picture();
    const { revision } = await head.status();
    await redis.kill();
    await redis.launch();
    await until('the store to be ok', async () => (await head.status()).store.ok);
    await changesWork(4);
    expect((await head.status()).revision).toBe(revision + 1);
    expect(await picture()).toEqual(before);
  });
});
