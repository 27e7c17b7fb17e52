import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { freePorts, modelserve, TestHead, TestNode } from './support/cluster.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

describe.skipIf(!hasRedis)('a running cluster whose --tls is changed', () => {
  const project = new Project();
  const headDir = mkdtempSync(join(tmpdir(), 'modelserve-state-'));
  const workerDir = mkdtempSync(join(tmpdir(), 'modelserve-state-'));
  let ports: readonly number[] = [];
  let head: TestHead;
  let worker: TestNode;
  let pid: number | null = null;

  beforeAll(async () => {
    project.package('Echo', echoSource());
    // The only GPU is on the worker, so what the head is asked goes over a link.
    project.sections({ Echo: { backend: 'Backend', route: 'echo', gpu_cost: 1, min_ready_s: 0.3 } });
    ports = await freePorts(4);
    await startHead('off');
    await startWorker('off');
    await answers();
    pid = await readyPid();
  });

  afterAll(async () => {
    await worker?.dispose();
    await head?.dispose();
    project.remove();
  });

  async function startHead(tls: string): Promise<void> {
    const args = ['--num-gpus', '0', '--tls', tls];
    head = new TestHead(ports, { conf: project.conf, args, stateDir: headDir });
    head.launch();
    await head.says(/^ready\b/im);
  }

  function launchWorker(tls: string): void {
    const address = ['--address', `127.0.0.1:${ports[0]}`, '--token-file', join(headDir, 'token')];
    const here = ['--num-gpus', '1', '--http-port', String(ports[3]), '--tls', tls];
    worker = new TestNode(['worker', ...address, ...here], { stateDir: workerDir });
    worker.launch();
  }

  async function startWorker(tls: string): Promise<void> {
    launchWorker(tls);
    await worker.says(/joined/);
  }

  async function stopped(...nodes: readonly TestNode[]): Promise<void> {
    for (const { stateDir } of nodes) {
      const stop = await modelserve(['stop', '--keep-replicas', '--state-dir', stateDir]);
      expect(stop).toMatchObject({ code: 0 });
    }
  }

  /** Commands find address and authority by themselves, whatever the head speaks. */
  async function near(...args: readonly string[]): Promise<string> {
    return (await modelserve(args, { env: { MODELSERVE_STATE_DIR: headDir } })).stdout;
  }

  /** Its replica does, by way of the head's ingress. */
  async function answers(): Promise<void> {
    await until('an answer', async () => (await near('call', 'echo')).includes('v1'), 60_000);
  }

  async function readyPid(): Promise<number | null> {
    const { deployments } = JSON.parse(await near('status', '--json')) as StatusDocument;
    return deployments[0]?.replicas.find(({ phase }) => phase === 'ready')?.pid ?? null;
  }

  it.each(['nodes', 'all'])('goes on with what it runs after a change to %s, workers first', async (tls) => {
    await stopped(worker, head);
    await startHead(tls);
    await startWorker(tls);
    await answers();
    expect(await readyPid()).toBe(pid);
  });

  it.each([
    ['all', 'off', /start this one with --tls off, too/],
    ['off', 'nodes', /start it with --tls nodes/],
  ])('tells a worker with --tls %s what to do when the head has %s', async (before, now, advice) => {
    const toldBefore = readFileSync(join(workerDir, 'logs/agent.log'), 'utf8').length;
    const told = (): string => readFileSync(join(workerDir, 'logs/agent.log'), 'utf8').slice(toldBefore);
    await stopped(head);
    await startHead(now);
    await until('the worker that goes on to be told', () => advice.test(told()), 60_000);
    await stopped(worker);
    launchWorker(before);
    await worker.ended();
    expect(worker.output).toMatch(advice);
    await startWorker(now);
    await answers();
    expect(await readyPid()).toBe(pid);
  });
});
