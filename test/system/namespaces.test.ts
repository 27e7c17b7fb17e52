import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { TestNode } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { ROOT } from './support/test-process.ts';
import { until } from './support/until.ts';

const HEAD = { namespace: `msh${process.pid}`, address: '10.231.7.1' };
const WORKER = { namespace: `msw${process.pid}`, address: '10.231.7.2' };

/** Whether this process may make network namespaces; says so where not. */
const mayMakeNamespaces = (() => {
  try {
    execFileSync('ip', ['netns', 'add', `mst${process.pid}`], { stdio: 'ignore' });
    execFileSync('ip', ['netns', 'delete', `mst${process.pid}`], { stdio: 'ignore' });
    return true;
  } catch {
    process.stdout.write(
      'skipped: a cluster over two network namespaces: `ip netns` is missing or not permitted here (needs root)\n',
    );
    return false;
  }
})();

const ip = (words: string): string => execFileSync('ip', words.split(' '), { encoding: 'utf8' });
const inside = (where: typeof HEAD): readonly string[] => ['ip', 'netns', 'exec', where.namespace];

describe.skipIf(!mayMakeNamespaces || !hasRedis)('two machines with a real link between them', () => {
  const project = new Project();
  let head: TestNode;
  let worker: TestNode;

  beforeAll(async () => {
    for (const { namespace } of [HEAD, WORKER]) {
      ip(`netns add ${namespace}`);
      ip(`-n ${namespace} link set lo up`);
    }
    ip(
      `link add mshv${process.pid % 10000} netns ${HEAD.namespace} type veth peer name mswv${process.pid % 10000} netns ${WORKER.namespace}`,
    );
    for (const [where, device] of [
      [HEAD, `mshv${process.pid % 10000}`],
      [WORKER, `mswv${process.pid % 10000}`],
    ] as const) {
      ip(`-n ${where.namespace} address add ${where.address}/24 dev ${device}`);
      ip(`-n ${where.namespace} link set ${device} up`);
    }
    project.package('Echo', echoSource());
    project.sections({
      Echo: {
        ...{ backend: 'Backend', route: 'echo', replicas: 1, gpu_cost: 1 },
        ...{ min_ready_s: 0.3, request_timeout_s: 6 },
      },
    });
    head = new TestNode(['head', '--conf', project.conf, '--host', HEAD.address, '--num-gpus', '0']);
    head.launch(inside(HEAD));
    await head.says(/workers/);
    worker = new TestNode([
      'worker',
      '--address',
      `${HEAD.address}:6370`,
      '--token-file',
      `${head.stateDir}/token`,
      '--num-gpus',
      '1',
    ]);
    worker.launch(inside(WORKER));
    await worker.says(/joined/);
    await head.says(/^ready\b/im);
  });

  afterAll(async () => {
    await worker?.dispose();
    await head?.dispose();
    for (const { namespace } of [HEAD, WORKER]) execFileSync('ip', ['netns', 'delete', namespace]);
    project.remove();
  });

  function curl(from: typeof HEAD, url: string): string {
    const [program = '', ...rest] = [...inside(from), 'curl', '-s', '--max-time', '10', '-d', '{}', url];
    return execFileSync(program, rest, { encoding: 'utf8' });
  }

  function status(): StatusDocument {
    const [program = '', ...rest] = [
      ...inside(HEAD),
      process.execPath,
      `${ROOT}/dist/cli/main.js`,
      'status',
      '--json',
      '--token-file',
      `${head.stateDir}/token`,
    ];
    return JSON.parse(execFileSync(program, rest, { encoding: 'utf8' })) as StatusDocument;
  }

  it('binds and advertises the address of the route to the head', () => {
    const addresses = status().nodes.map((node) => node.address);
    expect(addresses.sort()).toEqual([HEAD.address, WORKER.address]);
  });

  it('answers on both machines, with the replica on one of them', async () => {
    for (const where of [HEAD, WORKER]) {
      // the head is ready before there is room for the replica, which needs the worker's GPU
      await until(`an answer at ${where.address}`, () =>
        curl(where, `http://${where.address}:${project.port}/echo`).includes('"v1"'),
      );
    }
    expect(JSON.parse(curl(WORKER, `http://${HEAD.address}:${project.port}/echo`))).toMatchObject({
      version: 'v1',
    });
  });

  it('answers clearly while the machines are cut off from each other, and goes on as before after it', async () => {
    const device = `mshv${process.pid % 10000}`;
    const echoAt = (where: typeof HEAD): string => `http://${where.address}:${project.port}/echo`;
    const codeOf = (from: typeof HEAD): unknown =>
      (JSON.parse(curl(from, echoAt(HEAD))) as { code?: string }).code;
    // of one that has not settled yet nobody expects that it comes back
    await until('the replica to settle', () => status().deployments.every((one) => one.status === 'HEALTHY'));
    const before = JSON.parse(curl(HEAD, echoAt(HEAD))) as { pid: number };
    ip(`-n ${HEAD.namespace} link set ${device} down`);
    try {
      expect(codeOf(HEAD)).toBe('DEADLINE'); // its replica is expected back, until the node counts as lost
      await until('the worker to count as lost', () => status().nodes.some((node) => !node.alive), 60_000);
      await until('requests to be refused at once', () => codeOf(HEAD) === 'NOT_READY');
      expect(JSON.parse(curl(WORKER, echoAt(WORKER)))).toMatchObject({ pid: before.pid });
    } finally {
      ip(`-n ${HEAD.namespace} link set ${device} up`);
    }
    await until('answers', () => curl(HEAD, echoAt(HEAD)).includes('v1'), 60_000);
    await until('the worker to be back', () => status().nodes.every((node) => node.alive), 60_000);
    expect(JSON.parse(curl(HEAD, echoAt(HEAD)))).toMatchObject({ pid: before.pid });
  });
});
