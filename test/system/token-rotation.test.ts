import { copyFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linkRequest } from '../../src/channel/link-request.ts';
import { type ClusterKeys, clusterKeys } from '../../src/config/token.ts';
import { LiveSecrets } from '../../src/lib/live-secrets.ts';
import { createRedis } from '../../src/store/redis-client.ts';
import { freePorts, launchCommand, modelserve, TestHead, type TestNode } from './support/cluster.ts';
import { type Load, steadyLoad } from './support/load.ts';
import { processesWith } from './support/processes.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis } from './support/stores.ts';
import { until } from './support/until.ts';

const SCOPES = ['off', 'nodes'] as const;

// The only GPU is the worker's, so what the head is asked goes over a link.
describe.skipIf(!hasRedis).each(SCOPES)('the token of a cluster with --tls %s', (tls) => {
  const project = new Project();
  const tokenCopy = join(project.dir, 'first-token');
  let head: TestHead;
  let worker: TestNode;
  let workerUrl = '';
  let loads: readonly Load[] = [];

  beforeAll(async () => {
    project.package('Echo', echoSource({ workS: 0.002 }));
    project.sections({ Echo: { backend: 'Backend', route: 'echo', gpu_cost: 1, min_ready_s: 0.3 } });
    head = await TestHead.start({ conf: project.conf, args: ['--num-gpus', '0', '--tls', tls] });
    copyFileSync(join(head.stateDir, 'token'), tokenCopy);
    const [port] = await freePorts(1);
    worker = head.worker([
      '--num-gpus',
      '1',
      '--http-port',
      String(port),
      '--tls',
      tls,
      '--token-file',
      tokenCopy,
    ]);
    worker.launch();
    await worker.says(/joined/);
    workerUrl = `http://127.0.0.1:${port}/echo`;
    for (const url of [head.url('echo'), workerUrl])
      await until('an answer', async () => (await fetch(url)).status === 200);
  });

  afterAll(async () => {
    await Promise.all(loads.map((load) => load.stop()));
    await worker?.dispose();
    await head?.dispose();
    project.remove();
  });

  async function underLoad(work: () => Promise<void>): Promise<void> {
    loads = [head.url('echo'), workerUrl].map((url) => steadyLoad(url, { connections: 4 }));
    await Promise.all(loads.map((load) => load.more(20)));
    await work();
    await Promise.all(loads.map((load) => load.more(20)));
    const outcomes = await Promise.all(loads.map((load) => load.stop()));
    expect(outcomes.flatMap(({ failures }) => failures.slice(0, 5))).toEqual([]);
  }

  async function replicaPids(): Promise<readonly (number | null)[]> {
    const { deployments } = await head.status();
    return deployments.flatMap(({ replicas }) => replicas.map(({ pid }) => pid));
  }

  async function rotate(...flags: readonly string[]): ReturnType<typeof modelserve> {
    return await modelserve(['token', 'rotate', ...head.client, ...flags]);
  }

  async function statusOf(path: string, key: string, port = head.adminPort): Promise<number> {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(5_000),
    });
    await answer.body?.cancel();
    return answer.status;
  }

  /** What answers to keys of a token: HTTP statuses, words. */
  async function heard(keys: ClusterKeys): Promise<object> {
    const { host, linkPort } = await linkAddress();
    const link = linkRequest(
      {
        ...{ address: { host, port: linkPort }, nodeId: 'n-test', tls: null, timeoutMs: 3_000 },
        ...{ peerNodeId: await workerId(), linkKeys: new LiveSecrets(keys.linkKey) },
      },
      '/-/logs/Echo/none',
      '',
    ).then(
      ({ status, body }) => {
        body.destroy();
        return status;
      },
      () => 'refused',
    );
    return {
      api: await statusOf('/api/v1/status', keys.apiKey),
      viewer: await statusOf('/api/v1/status', keys.viewerKey),
      metrics: await statusOf('/metrics', keys.metricsKey),
      ingress: await statusOf('/-/metrics', keys.metricsKey, head.httpPort),
      ...(tls === 'off' ? { store: await storeSays(keys.storePassword), link: await link } : {}),
    };
  }

  async function storeSays(password: string): Promise<string> {
    const redis = createRedis(
      { url: `redis://127.0.0.1:${head.storePort}`, password: () => password, commandTimeoutMs: 2_000 },
      { retryStrategy: () => null },
    );
    try {
      await redis.connect();
      return await redis.ping();
    } catch {
      return 'refused';
    } finally {
      redis.disconnect();
    }
  }

  async function workerId(): Promise<string> {
    return readFileSync(join(worker.stateDir, 'node-id'), 'utf8').trim();
  }

  async function linkAddress(): Promise<{ readonly host: string; readonly linkPort: number }> {
    const launch = readFileSync(join(worker.stateDir, 'stage', 'ingress-launch.json'), 'utf8');
    return JSON.parse(launch) as { host: string; linkPort: number };
  }

  function ingressPids(...of: readonly TestNode[]): readonly number[] {
    return (of.length === 0 ? [head, worker] : of)
      .flatMap(({ stateDir }) => processesWith(join(stateDir, 'stage', 'ingress-launch.json')))
      .map(({ pid }) => pid);
  }

  const GOOD = { api: 200, viewer: 200, metrics: 200, ingress: 200 };
  const BAD = { api: 401, viewer: 401, metrics: 401, ingress: 401 };
  const good = tls === 'off' ? { ...GOOD, store: 'PONG', link: 404 } : GOOD;
  const bad = tls === 'off' ? { ...BAD, store: 'refused', link: 'refused' } : BAD;

  it('is replaced under load: nothing fails, nothing is started anew, and what was given out before is refused', async () => {
    const before = clusterKeys(head.token);
    const token = head.token;
    const pids = await replicaPids();
    const ingresses = ingressPids();
    const events = await fetch(`${head.dashboard}api/v1/live`, {
      headers: { authorization: `Bearer ${before.apiKey}` },
    });
    const eventsEnd = events.text().catch(() => 'cut');
    await underLoad(async () => {
      const done = await rotate();
      expect(done.stderr).toBe('');
      expect(done).toMatchObject({ code: 0, stdout: /accept:.*use:.*drop:.*the new token lies in/s });
    });
    expect(head.token).not.toBe(token);
    expect(statSync(join(head.stateDir, 'token')).mode & 0o777).toBe(0o600);
    const after = clusterKeys(head.token);
    expect(after.clusterId).toBe(before.clusterId);
    expect(await heard(after)).toEqual(good);
    expect(await heard(before)).toEqual(bad);
    await eventsEnd;
    expect(await replicaPids()).toEqual(pids);
    expect(ingressPids()).toEqual(ingresses);
    expect((await head.status()).nodes.map(({ alive }) => alive)).toEqual([true, true]);
    for (const node of [head, worker]) expect(secretsIn(node, [head.token, token]), node.output).toEqual([]);
    expect(await modelserve(['token', 'show', '--token-file', join(head.stateDir, 'token')])).toMatchObject({
      stdout: `${head.token}\n`,
    });
  });

  it('is replaced once more, and a worker that was killed comes back with the first one', async () => {
    await underLoad(async () => {
      expect(await rotate()).toMatchObject({ code: 0 });
    });
    worker.signal('SIGKILL');
    await worker.ended();
    worker.output = '';
    worker.launch();
    await worker.says(/token.*was replaced/);
    await worker.says(/joined/);
    await until('an answer', async () => (await fetch(head.url('echo'))).status === 200);
  });

  it('goes on where a head is killed and comes back, and goes back where a node does not follow', async () => {
    const before = head.token;
    const [ingress = -1] = ingressPids(worker);
    process.kill(ingress, 'SIGSTOP'); // its node lives, and cannot follow
    try {
      const late = launchCommand(['token', 'rotate', ...head.client, '--timeout', '1'], project.dir);
      await late.says(/restore: /);
      process.kill(ingress, 'SIGCONT');
      await late.ended();
      expect(late.output).toMatch(/the old token stays: node \S+ did not follow within 1 s/);
      expect(late.exitCode).toBe(1);
      expect(head.token).toBe(before);
      process.kill(ingress, 'SIGSTOP');
      const rotating = launchCommand(['token', 'rotate', ...head.client], project.dir);
      await rotating.says(/waiting/);
      const { token_rotation: told, nodes } = await head.status();
      const waiting = nodes.filter(({ role }) => role === 'worker').map(({ id }) => id);
      expect(told).toMatchObject({ phase: 'accept', reason: null, waiting_for: waiting });
      const { stdout } = await modelserve(['status', ...head.client]);
      expect(stdout).toContain(`waits for ${waiting[0]}. See \`modelserve token status\``);
      expect(await rotate()).toMatchObject({ code: 5, stderr: /being replaced already/ });
      head.signal('SIGKILL');
      await head.ended();
      head.launch();
      await until('the head', async () => (await head.status()).nodes.length === 2);
      process.kill(ingress, 'SIGCONT');
      await rotating.ended();
      expect(rotating.output).toMatch(/the new token lies in/);
    } finally {
      process.kill(ingress, 'SIGCONT');
    }
    expect(head.token).not.toBe(before);
    expect(await heard(clusterKeys(head.token))).toEqual(good);
    expect(await heard(clusterKeys(before))).toEqual(bad);
  });

  it('is told a worker that was away meanwhile, with what to do', async () => {
    const old = join(project.dir, 'old-token');
    copyFileSync(join(head.stateDir, 'token'), old);
    worker.signal('SIGKILL');
    await worker.ended();
    expect(await rotate()).toMatchObject({ code: 0 });
    worker.launch();
    await worker.ended();
    expect(worker.output).toMatch(/copy the file `token` from the head's state directory/);
    copyFileSync(join(head.stateDir, 'token'), tokenCopy);
    worker.launch();
    await worker.says(/joined/);
    await until('an answer', async () => (await fetch(head.url('echo'))).status === 200);
  });

  it('is cancelled only where a new one is on its way', async () => {
    expect(await rotate('--cancel')).toMatchObject({ code: 1, stderr: /nothing to cancel/ });
  });
});

/** Tokens that a node's output or logs hold. */
function secretsIn(node: TestNode, tokens: readonly string[]): readonly string[] {
  const logs = join(node.stateDir, 'logs');
  const texts = readdirSync(logs, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'));
  return tokens.filter((token) => [node.output, ...texts].some((text) => text.includes(token)));
}
