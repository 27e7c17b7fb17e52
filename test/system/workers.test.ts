import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterKeys } from '../../src/config/token.ts';
import { freePorts, modelserve, TestHead, type TestNode } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { processesWith } from './support/processes.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

// The only GPUs are on workers, so what runs there can run nowhere else.
describe.skipIf(!hasRedis)('workers that go and come', () => {
  const project = new Project();
  const workers: TestNode[] = [];
  let head: TestHead;

  beforeAll(async () => {
    project.package('Echo', echoSource({ workS: 0.005 }));
    project.sections({ Echo: { backend: 'Backend', route: 'echo', gpu_cost: 1, min_ready_s: 0.3 } });
    head = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '0'] });
    await join();
    await until('an answer', async () => (await fetch(head.url('echo'))).status === 200);
  });

  afterAll(async () => {
    for (const worker of workers) await worker.dispose();
    await head?.dispose();
    project.remove();
  });

  async function join(): Promise<TestNode> {
    const [port] = await freePorts(1);
    const worker = head.worker(['--num-gpus', '1', '--http-port', String(port)]);
    workers.push(worker);
    worker.launch();
    await worker.says(/joined/);
    return worker;
  }

  async function isLost(): Promise<boolean> {
    return (await head.status()).nodes.some((node) => !node.alive);
  }

  /** pids of replicas on nodes that live */
  async function pids(): Promise<readonly (number | null)[]> {
    const { nodes, deployments } = await head.status();
    const alive = new Set(nodes.filter((node) => node.alive).map((node) => node.id));
    const replicas = deployments[0]?.replicas ?? [];
    return replicas.filter((one) => alive.has(one.node) && one.phase === 'ready').map((one) => one.pid);
  }

  it('goes on with what a worker runs while only its node process is away, however long, and after', async () => {
    const [worker] = workers;
    const before = await pids();
    const load = steadyLoad(head.url('echo'));
    await load.more(50);
    await modelserve(['stop', '--keep-replicas', '--state-dir', worker?.stateDir ?? '']);
    await until('the lease to lapse', isLost, 60_000);
    await load.more(100);
    worker?.launch();
    await until('the worker to be back', async () => !(await isLost()));
    await load.more(100);
    const outcome = await load.stop();
    expect(outcome.failures.slice(0, 5)).toEqual([]);
    expect(await pids()).toEqual(before);
  });

  it('starts elsewhere what was on a worker that is gone for good, and loses no request meanwhile', async () => {
    const [gone] = workers;
    const before = await pids();
    await join();
    const load = steadyLoad(head.url('echo'));
    await load.more(50);
    for (const { pid } of processesWith(gone?.stateDir ?? 'no worker')) process.kill(pid, 'SIGKILL');
    await until(
      'a replica elsewhere',
      async () => {
        const now = await pids();
        return now.length === 1 && now[0] !== before[0];
      },
      60_000,
    );
    await load.more(100);
    const outcome = await load.stop();
    expect(outcome.failures.slice(0, 5)).toEqual([]);
  });

  it('tells what each has of models, and ends the one that is named when another has its replicas', async () => {
    const leaving = (await head.status()).deployments[0]?.replicas.find(({ phase }) => phase === 'ready');
    const node = leaving?.node ?? '';
    const next = await join();
    expect(await admin('GET', `models?node=${node}`)).toMatchObject({ status: 200, body: { node } });
    const load = steadyLoad(head.url('echo'));
    await load.more(50);
    const stopped = await admin('POST', `nodes/${node}/stop`);
    expect(stopped).toMatchObject({ status: 200, body: { left: [] } });
    await load.more(100);
    expect((await load.stop()).failures.slice(0, 5)).toEqual([]);
    const { nodes, deployments } = await head.status();
    expect(nodes.map(({ id }) => id)).not.toContain(node);
    expect(deployments[0]?.replicas.map(({ phase }) => phase)).toEqual(['ready']);
    expect(processesWith(next.stateDir).length).toBeGreaterThan(1);
    const again = await admin('POST', `nodes/${node}/stop`);
    expect(again).toMatchObject({ status: 404, body: { code: 'NODE_UNKNOWN' } });
  });

  async function admin(method: string, path: string): Promise<{ status: number; body: unknown }> {
    const headers = { authorization: `Bearer ${clusterKeys(head.token).apiKey}` };
    const answer = await fetch(`${head.dashboard}api/v1/${path}`, { method, headers });
    return { status: answer.status, body: await answer.json() };
  }
});
