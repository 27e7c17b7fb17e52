import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Agent } from '../../src/agent/agent.ts';
import { supersedes } from '../../src/agent/assignment-follower.ts';
import { ReplicaRecords } from '../../src/agent/replicas/records.ts';
import type { NodeAssignment, ReplicaStatus } from '../../src/cluster/replicas/types.ts';
import { ingressSocket } from '../../src/config/paths.ts';
import { readIfThere } from '../../src/lib/files.ts';
import { silentLog } from '../../src/lib/log.ts';
import { killSession } from '../../src/lib/process/signals.ts';
import { PLAIN_FILES } from '../../src/lib/tls/node-tls.ts';
import { pathSecrets } from '../support/secrets.ts';
import { ALL_HERE, type Workplace, workplace } from './harness.ts';
import { MemoryStore } from './memory-store.ts';

const SOON = { timeout: 10_000, interval: 10 };
const INGRESS = fileURLToPath(new URL('./fixtures/fake-ingress.mjs', import.meta.url));

interface TestAgent {
  readonly agent: Agent;
  readonly onLeaveRequested: ReturnType<typeof vi.fn>;
}

function agentOf(place: Workplace, store: MemoryStore, hasElsewhere = false): TestAgent {
  const { runners, version, nodePath, nodeVersion, baseEnv, values } = place.prepareOptions;
  const onLeaveRequested = vi.fn();
  const { paths } = place;
  const agent = new Agent(
    {
      nodeId: 'n1',
      role: 'worker',
      hostname: 'host',
      host: '127.0.0.1',
      tokens: () => ({ shows: 'one', step: null }),
      modelserveVersion: '1',
      paths,
      declaredCpus: 2,
      gpus: { declared: 1, visibleDevices: null, env: baseEnv },
      modelAgentProgram: '/none',
      backends: { runners, version, nodePath, nodeVersion, baseEnv, values },
      ingress: {
        entry: INGRESS,
        nodePath,
        env: { FAKE_SOCKET: ingressSocket(paths.sockets) },
        launch: {
          nodeId: 'n1',
          host: '127.0.0.1',
          httpPort: null,
          httpPortFixed: false,
          linkPort: 0,
          stateDir: paths.root,
          store: null,
          secrets: { ...pathSecrets(), storePasswords: ['p'] },
          tls: PLAIN_FILES,
          clusterId: 'c',
          version: '1',
          tracing: null,
        },
      },
    },
    {
      ...{ store, log: silentLog, nowMs: Date.now, onLeaveRequested },
      content: { contents: ALL_HERE, port: 0, modelBytes: async () => 0 },
      hasElsewhere: async () => hasElsewhere,
    },
  );
  onTestFinished(async () => {
    await agent.stop({ keepReplicas: true });
    for (const { identity } of new ReplicaRecords(paths.processes).readAll()) {
      if (identity !== null) await killSession(identity.pid);
    }
    const ingress = await readIfThere(join(paths.processes, 'ingress.json'));
    if (ingress !== null) await killSession(JSON.parse(ingress).pid);
  });
  return { agent, onLeaveRequested };
}

const replicaIn = (store: MemoryStore, replicaId: string): ReplicaStatus | undefined =>
  store.report?.replicas.find(({ assignment }) => assignment.replicaId === replicaId);

const isReady = async (store: MemoryStore, replicaId: string): Promise<void> =>
  await expect.poll(() => replicaIn(store, replicaId)?.stable, SOON).toBe(true);

test.each([
  ['the first', null, { version: 1, incarnation: 'a' }, true],
  ['a newer one', { version: 1, incarnation: 'a' }, { version: 2, incarnation: 'a' }, true],
  ['the same', { version: 2, incarnation: 'a' }, { version: 2, incarnation: 'a' }, false],
  ['an older one', { version: 3, incarnation: 'a' }, { version: 2, incarnation: 'a' }, false],
  [
    'a later leader of another incarnation',
    { version: 3, incarnation: 'a' },
    { version: 1, incarnation: 'b', epoch: 2 },
    true,
  ],
  [
    'an earlier leader of another incarnation, in a store that fell back',
    { version: 3, incarnation: 'a', epoch: 2 },
    { version: 4, incarnation: 'b', epoch: 1 },
    false,
  ],
])('%s is followed or not', (_which, followed, next, expected) => {
  const full = (
    part: { version: number; incarnation: string; epoch?: number } | null,
  ): NodeAssignment | null => part && { nodeId: 'n1', epoch: 1, replicas: [], ...part };
  expect(supersedes(full(followed), full(next) ?? expect.fail())).toBe(expected);
});

test('joins with what the node has, follows its assignment and reports it', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const { agent } = agentOf(place, store);
  await agent.start();
  expect(store.record).toMatchObject({
    nodeId: 'n1',
    httpPort: 8000,
    linkPort: 40_000,
    draining: false,
    capacity: { cpuMilli: 2000, gpus: [{ uuid: 'virtual-n1-0', virtual: true }] },
  });
  expect(store.report).toMatchObject({ assignmentVersion: -1, incarnation: '', replicas: [] });
  store.assign([place.assignment('Echo-1')]);
  await isReady(store, 'Echo-1');
  expect(store.report).toMatchObject({ assignmentVersion: 1, incarnation: 'i1' });
  store.assign([]);
  await expect.poll(() => store.report?.replicas, SOON).toEqual([]);
});

test('works without the store: restarts what dies, takes nothing new, and tells all when it is back', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const { agent } = agentOf(place, store);
  await agent.start();
  store.assign([place.assignment('Echo-1')]);
  await isReady(store, 'Echo-1');
  const pid = replicaIn(store, 'Echo-1')?.pid ?? 0;

  store.goAway();
  store.assign([place.assignment('Echo-1'), place.assignment('Echo-2')]);
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => agent.report.replicas[0]?.restarts, SOON).toBe(1);
  expect(agent.report.replicas).toHaveLength(1);
  expect(replicaIn(store, 'Echo-1')?.pid).toBe(pid);

  store.comeBack();
  await isReady(store, 'Echo-2');
  expect(replicaIn(store, 'Echo-1')?.restarts).toBe(1);
});

test('an emptied store is told everything again, and no replica is touched', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const { agent } = agentOf(place, store);
  await agent.start();
  store.assign([place.assignment('Echo-1')]);
  await isReady(store, 'Echo-1');
  const pid = replicaIn(store, 'Echo-1')?.pid;
  store.empty();
  await expect.poll(() => store.report?.replicas[0]?.pid, SOON).toBe(pid);
  expect(store.record).not.toBeNull();
  // The new leader's first assignment counts, whatever its number.
  store.assign([{ ...place.assignment('Echo-1'), revision: 9 }], { incarnation: 'i2', epoch: 2, version: 0 });
  await expect.poll(() => replicaIn(store, 'Echo-1')?.assignment.revision, SOON).toBe(9);
  expect(replicaIn(store, 'Echo-1')?.pid).toBe(pid);
});

test('the next agent tells an empty store at once what runs, with the same pids', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const first = agentOf(place, store);
  await first.agent.start();
  store.assign([place.assignment('Echo-1'), place.assignment('Echo-2')]);
  await isReady(store, 'Echo-1');
  await isReady(store, 'Echo-2');
  const before = store.report?.replicas.map(({ pid }) => pid);
  await first.agent.stop({ keepReplicas: true });
  expect(store.watchers).toBe(0);
  process.kill(before?.[1] ?? expect.fail('no process to end'), 'SIGKILL');

  const empty = new MemoryStore();
  const second = agentOf(place, empty);
  await second.agent.start();
  expect(empty.report).toMatchObject({ assignmentVersion: 1, incarnation: 'i1' });
  expect(replicaIn(empty, 'Echo-1')).toMatchObject({ pid: before?.[0], phase: 'ready', stable: true });
  await isReady(empty, 'Echo-2'); // it died meanwhile: started again by the saved assignment alone
  expect(replicaIn(empty, 'Echo-2')?.pid).not.toBe(before?.[1]);
});

test('a node starts without the store', async () => {
  const place = workplace();
  const store = new MemoryStore();
  store.goAway();
  const { agent } = agentOf(place, store);
  await agent.start();
  expect(store.record).toBeNull();
  store.assign([place.assignment('Echo-1')]);
  store.comeBack();
  await isReady(store, 'Echo-1');
});

test('leaving waits for the leader to move the replicas, then leaves nothing behind', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const { agent } = agentOf(place, store, true);
  await agent.start();
  store.assign([place.assignment('Echo-1', { drainMs: 100 })]);
  await isReady(store, 'Echo-1');
  const stopping = agent.stop({ keepReplicas: false });
  await expect.poll(() => store.record?.draining, SOON).toBe(true);
  expect(replicaIn(store, 'Echo-1')?.phase).toBe('ready');
  store.assign([place.assignment('Echo-1', {}, { desired: 'drain' })]);
  await stopping;
  await agent.stop({ keepReplicas: false });
  expect(store.record).toBeNull();
  expect(store.history.at(-1)).toBe('removed');
  expect(store.watchers).toBe(0);
  expect(place.events().slice(-2)).toEqual(['draining', 'exit']);
  expect(existsSync(place.paths.assignment)).toBe(false);
  expect(existsSync(ingressSocket(place.paths.sockets))).toBe(false);
});

test('where there is no elsewhere, leaving drains at once', async () => {
  const place = workplace();
  const store = new MemoryStore();
  const { agent } = agentOf(place, store);
  await agent.start();
  store.assign([place.assignment('Echo-1')]);
  await isReady(store, 'Echo-1');
  await agent.stop({ keepReplicas: false });
  expect(place.events().at(-1)).toBe('exit');
});

test('an order to leave counts only if it was given in this life', async () => {
  const place = workplace();
  const store = new MemoryStore();
  store.assign([], { leave: true });
  const { agent, onLeaveRequested } = agentOf(place, store);
  await agent.start();
  await expect.poll(() => store.report?.assignmentVersion, SOON).toBe(1);
  expect(onLeaveRequested).not.toHaveBeenCalled();
  store.assign([], { leave: true });
  await expect.poll(() => onLeaveRequested.mock.calls.length, SOON).toBe(1);
});
