import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { TestHead, type TestNode } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';
import { until } from './support/until.ts';

/** GPU shares as (node role, GPU index, fraction) of every replica that holds one. */
function shares(status: StatusDocument): readonly { readonly gpu: string; readonly fraction: number }[] {
  return status.deployments.flatMap((one) =>
    one.replicas.flatMap((replica) =>
      replica.gpus.map((gpu) => ({ gpu: `${replica.node}/${gpu.index}`, fraction: gpu.fraction })),
    ),
  );
}

function sums(status: StatusDocument): ReadonlyMap<string, number> {
  const sum = new Map<string, number>();
  for (const { gpu, fraction } of shares(status))
    sum.set(gpu, Math.round(((sum.get(gpu) ?? 0) + fraction) * 1000) / 1000);
  return sum;
}

describe('fractions of GPUs on a head with two and two workers with one each', () => {
  const project = new Project();
  let head: TestHead;
  const workers: TestNode[] = [];
  const base = { backend: 'Backend', min_ready_s: 0.3, cpu_cost: 0.01 };

  beforeAll(async () => {
    project.package('Echo', echoSource());
    project.sections({ Echo: { ...base, route: 'echo', gpu_cost: 0.34, replicas: 2 } });
    head = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '2'] });
    for (let number = 0; number < 2; number += 1) {
      const worker = head.worker(['--num-gpus', '1']);
      workers.push(worker);
      worker.launch();
      await worker.says(/joined/);
    }
  });

  afterAll(async () => {
    for (const worker of workers) await worker.dispose();
    await head?.dispose();
    project.remove();
  });

  async function applied(): Promise<StatusDocument> {
    const result = await head.apply();
    expect(result, result.stdout + result.stderr).toMatchObject({ code: 0 });
    return await head.status();
  }

  it('shows every GPU with its free fraction, virtual ones as such', async () => {
    const { nodes } = await head.status();
    expect(nodes.flatMap((node) => node.gpus)).toHaveLength(4);
    expect(nodes.flatMap((node) => node.gpus).every((gpu) => gpu.virtual && gpu.usable)).toBe(true);
  });

  it('places two of 0.34 on one GPU, a third on another, and ten of 0.1 on one', async () => {
    project.sections({ Echo: { ...base, route: 'echo', gpu_cost: 0.34, replicas: 3 } });
    const three = sums(await applied());
    expect([...three.values()].sort()).toEqual([0.34, 0.68]);
    project.sections({ Echo: { ...base, route: 'echo', gpu_cost: 0.1, replicas: 10 } });
    const ten = await applied();
    await until('the old ones to be gone', async () => shares(await head.status()).length === 10);
    expect([...sums(ten).values()].reduce((sum, one) => sum + one, 0)).toBeCloseTo(1);
  });

  it('never gives a GPU out twice while everything changes', async () => {
    project.sections({
      'Echo.large': { ...base, route: 'large', gpu_cost: 0.6, replicas: 3 },
      'Echo.small': { ...base, route: 'small', gpu_cost: 0.4, replicas: 3 },
      'Echo.whole': { ...base, route: 'whole', gpu_cost: 1, replicas: 1 },
    });
    const applying = head.apply();
    let done = false;
    const watched = applying.then(() => {
      done = true;
    });
    while (!done) {
      for (const [gpu, sum] of sums(await head.status())) expect(sum, gpu).toBeLessThanOrEqual(1);
    }
    await watched;
    const result = await applying;
    expect(result, result.stderr).toMatchObject({ code: 0 });
    const status = await head.status();
    expect(status.deployments.map((one) => one.status)).toEqual(['HEALTHY', 'HEALTHY', 'HEALTHY']);
    const free = status.nodes.flatMap((node) => node.gpus.map((gpu) => gpu.free));
    expect(free.reduce((sum, one) => sum + one, 0)).toBeCloseTo(0);
  });

  it('leaves what fits nowhere PENDING with a reason per GPU, and starts it when a node joins', async () => {
    project.sections({ Echo: { ...base, route: 'echo', gpu_cost: 1, replicas: 5 } });
    const result = await head.apply(['--timeout', '2']);
    expect(result.code).toBe(3);
    expect(result.stderr).toMatch(/node n-\w+: 0 of \d GPUs entirely free, 1 needed/);
    const joining = head.worker(['--num-gpus', '1']);
    workers.push(joining);
    joining.launch();
    await until(
      'the fifth to be ready',
      async () => (await head.status()).deployments[0]?.ready === 5,
      60_000,
    );
  });

  it('moves the replicas of a node that leaves', async () => {
    const leaving = workers.pop();
    const nodesBefore = (await head.status()).nodes.length;
    project.sections({ Echo: { ...base, route: 'echo', gpu_cost: 0.5, replicas: 5 } });
    await applied();
    leaving?.signal('SIGTERM');
    await leaving?.ended();
    const status = await until('the node to be off the list', async () => {
      const now = await head.status();
      return now.nodes.length === nodesBefore - 1 && now.deployments[0]?.ready === 5 ? now : null;
    });
    expect(status.deployments[0]?.status).toBe('HEALTHY');
    await leaving?.dispose();
  });
});
