import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ReplicaRecords } from '../../../src/agent/replicas/records.ts';
import type { ReplicaPhase } from '../../../src/cluster/replicas/types.ts';
import { identityOf, isRunning } from '../../../src/lib/process/identity.ts';
import { killSession } from '../../../src/lib/process/signals.ts';
import { slice } from '../../cluster/builders.ts';
import { gpus, replicaSet, type TestSet, type Workplace, workplace } from '../harness.ts';

const SOON = { timeout: 10_000, interval: 10 };

async function reaches(replicas: TestSet, replicaId: string, phase: ReplicaPhase | 'gone'): Promise<number> {
  await expect.poll(() => replicas.status(replicaId)?.phase ?? 'gone', SOON).toBe(phase);
  return replicas.status(replicaId)?.pid ?? 0;
}

async function stableReplica(
  place: Workplace,
  ...rest: Parameters<Workplace['assignment']> | []
): Promise<TestSet> {
  const replicas = replicaSet(place);
  const [replicaId = 'Echo-1', fake, over] = rest;
  replicas.set.apply([place.assignment(replicaId, fake, over)]);
  await expect.poll(() => replicas.status(replicaId)?.stable, SOON).toBe(true);
  return replicas;
}

test('a replica is prepared, started with exactly its GPUs, becomes ready and stable', async () => {
  const place = workplace();
  const replicas = await stableReplica(
    place,
    'Echo-1',
    {},
    {
      slices: [slice('n1', 1, 500)],
      spec: { gpuMilli: 500 },
    },
  );
  expect(replicas.status('Echo-1')).toMatchObject({
    phase: 'ready',
    prepared: true,
    admitted: true,
    restarts: 0,
    startFailures: 0,
    failure: null,
    reconfigured: { hash: 'config-1', outcome: 'applied' },
    startedWith: 'config-1',
  });
  expect(place.events().find((line) => line.startsWith('start'))).toMatch(/cuda=GPU-n1-1 order=PCI_BUS_ID$/);
});

test('without GPUs CUDA_VISIBLE_DEVICES is empty, and a declared GPU goes by its index', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  const virtual = { uuid: 'virtual-n1-0', index: 0, milli: 1000 };
  replicas.resize({
    cpuMilli: 1000,
    memoryBytes: 0,
    gpus: gpus(1).map((gpu) => ({ ...gpu, uuid: virtual.uuid, virtual: true })),
  });
  replicas.set.apply([
    place.assignment('Echo-1'),
    place.assignment('Echo-2', {}, { slices: [virtual], spec: { gpuMilli: 1000 } }),
  ]);
  await reaches(replicas, 'Echo-1', 'ready');
  await reaches(replicas, 'Echo-2', 'ready');
  const starts = place.events().filter((line) => line.startsWith('start'));
  expect(starts.map((line) => /cuda=(\S*)/.exec(line)?.[1]).sort()).toEqual(['', '0']);
});

test('a killed replica is replaced at once under its id', async () => {
  const place = workplace();
  const replicas = await stableReplica(place);
  const pid = replicas.status('Echo-1')?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => replicas.status('Echo-1')?.pid ?? pid, SOON).not.toBe(pid);
  await reaches(replicas, 'Echo-1', 'ready');
  expect(replicas.status('Echo-1')).toMatchObject({
    restarts: 1,
    startFailures: 0,
    failure: { kind: 'crash', message: expect.stringContaining('SIGKILL') },
  });
});

test('a child that the replica forked is gone before another process takes the slot', async () => {
  const place = workplace();
  const replicas = await stableReplica(place, 'Echo-1', { fork: true });
  const child = identityOf(Number(readFileSync(`${place.journal}.child`, 'utf8')));
  expect(child && isRunning(child)).toBe(true);
  const pid = replicas.status('Echo-1')?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => replicas.status('Echo-1')?.pid ?? pid, SOON).not.toBe(pid);
  expect(child && isRunning(child)).toBe(false);
});

test('a start that fails is reported in the backend’s own words and tried again, later and later', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply([place.assignment('Echo-1', { failStart: 'ValueError: bad weights' })]);
  await expect.poll(() => replicas.status('Echo-1')?.startFailures, SOON).toBe(2);
  expect(replicas.status('Echo-1')).toMatchObject({
    failure: {
      kind: 'start',
      message: 'ValueError: bad weights',
      traceback: expect.stringMatching(/^Traceback[\s\S]*bad weights$/),
    },
  });
  replicas.set.apply([]);
  await reaches(replicas, 'Echo-1', 'gone');
});

test('a process that dies without a word is told by its last output, whatever Python keeps after it', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  const lastNote = '/lib/resource_tracker.py:224: UserWarning: resource_tracker: There appear to be 4 leaked';
  replicas.set.apply([place.assignment('Echo-1', { dieAtStart: 3, lastNote })]);
  await reaches(replicas, 'Echo-1', 'failed');
  expect(replicas.status('Echo-1')?.failure).toMatchObject({
    kind: 'start',
    message: 'the process ended with code 3; its last words: ValueError: no luck',
    traceback: `Traceback (most recent call last):\nValueError: no luck\n${lastNote}`,
  });
});

test('a replica that is not ready in time is killed', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply([
    place.assignment('Echo-1', { startDelayMs: -1, fork: true }, { spec: { startupTimeoutMs: 600 } }),
  ]);
  await reaches(replicas, 'Echo-1', 'failed');
  expect(replicas.status('Echo-1')?.failure).toMatchObject({
    kind: 'startup-timeout',
    message: expect.stringContaining('startup_timeout_s = 0.6'),
  });
});

test('one that falls within min_ready_s counts as a failed start', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply([place.assignment('Echo-1', {}, { spec: { minReadyMs: 60_000 } })]);
  const pid = await reaches(replicas, 'Echo-1', 'ready');
  expect(replicas.status('Echo-1')?.stable).toBe(false);
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => replicas.status('Echo-1')?.startFailures, SOON).toBe(1);
  expect(replicas.status('Echo-1')?.failure?.kind).toBe('early-crash');
});

test('a failed import check names the line to add, and touches nothing', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply([place.assignment('Echo-1', { missingModule: 'left-pad/lib' })]);
  await reaches(replicas, 'Echo-1', 'failed');
  expect(replicas.status('Echo-1')).toMatchObject({
    prepared: false,
    admitted: false,
    failure: {
      kind: 'prepare',
      message: expect.stringContaining('add "left-pad" to the dependencies in algopkg/Echo/package.json'),
      traceback: 'Traceback: here',
    },
  });
  expect(place.events().some((line) => line.startsWith('start'))).toBe(false);
});

test('draining lets the replica finish and leaves nothing behind', async () => {
  const place = workplace();
  const replicas = await stableReplica(place, 'Echo-1', { drainMs: 300 });
  replicas.set.apply([place.assignment('Echo-1', {}, { desired: 'drain' })]);
  expect(replicas.status('Echo-1')).toMatchObject({ phase: 'draining', admitted: true });
  await reaches(replicas, 'Echo-1', 'gone');
  expect(place.events().slice(-2)).toEqual(['draining', 'exit']);
  expect(place.events()).toContain('control {"op":"drain","grace_ms":10000}');
  expect(replicas.claims.held).toEqual([]);
  expect(new ReplicaRecords(place.paths.processes).readAll()).toEqual([]);
});

test('nothing starts that would overcommit a GPU, until the exit of what leaves is reaped', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  const half = { slices: [slice('n1', 0, 600)], spec: { gpuMilli: 600 } };
  const drainUntil = `${place.journal}.drained`;
  replicas.set.apply([place.assignment('Echo-1', { drainUntil }, half)]);
  await reaches(replicas, 'Echo-1', 'ready');
  replicas.set.apply([
    place.assignment('Echo-1', {}, { ...half, desired: 'drain' }),
    place.assignment('Echo-2', {}, half),
  ]);
  await expect.poll(() => replicas.status('Echo-2')?.prepared, SOON).toBe(true);
  expect(replicas.status('Echo-2')).toMatchObject({
    phase: 'pending',
    admitted: false,
    message: expect.stringContaining('GPU 0 has 0.4 free'),
  });
  writeFileSync(drainUntil, '');
  await reaches(replicas, 'Echo-2', 'ready');
  expect(replicas.status('Echo-1')).toBeUndefined();
  const events = place.events();
  expect(events.lastIndexOf('exit')).toBeLessThan(events.findLastIndex((line) => line.startsWith('start')));
});

test('a GPU that comes back admits what waited for it', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  const lost = gpus(1).map((gpu) => ({ ...gpu, usable: false, reason: 'it fell off the bus' }));
  replicas.resize({ cpuMilli: 1000, memoryBytes: 0, gpus: lost });
  replicas.set.apply([
    place.assignment('Echo-1', {}, { slices: [slice('n1', 0, 1000)], spec: { gpuMilli: 1000 } }),
  ]);
  await expect.poll(() => replicas.status('Echo-1')?.message, SOON).toContain('it fell off the bus');
  replicas.resize({ cpuMilli: 1000, memoryBytes: 0, gpus: gpus(1) });
  await reaches(replicas, 'Echo-1', 'ready');
});

test('another spec under the same id: the old drains, then the new starts', async () => {
  const place = workplace();
  const replicas = await stableReplica(place);
  const pid = replicas.status('Echo-1')?.pid;
  replicas.set.apply([
    place.assignment('Echo-1', {}, { revision: 2, spec: { hashes: { replace: 'other' } } }),
  ]);
  await expect.poll(() => replicas.status('Echo-1')?.assignment.revision, SOON).toBe(2);
  expect(await reaches(replicas, 'Echo-1', 'ready')).not.toBe(pid);
});

test.each([
  ['applied', {}, ''],
  ['unsupported', { reconfigure: 'unsupported' as const }, ''],
  ['failed', { reconfigure: 'failed' as const }, 'Traceback: bad config'],
])('a changed user_config is told in place: %s', async (outcome, fake, error) => {
  const place = workplace();
  const replicas = await stableReplica(place, 'Echo-1', fake);
  const pid = replicas.status('Echo-1')?.pid;
  const spec = { userConfig: { threshold: 2 }, maxOngoingRequests: 5, hashes: { reconfigure: 'config-2' } };
  replicas.set.apply([place.assignment('Echo-1', fake, { revision: 2, spec })]);
  await expect
    .poll(() => replicas.status('Echo-1')?.reconfigured, SOON)
    .toEqual({ hash: 'config-2', outcome, error });
  expect(replicas.status('Echo-1')).toMatchObject({ pid, startedWith: 'config-1' });
  expect(place.events().filter((line) => line.startsWith('control'))).toEqual([
    'control {"op":"limits","max_ongoing":5,"concurrency":1}',
    'control {"op":"reconfigure","config":{"threshold":2}}',
  ]);
});

test('a user_config that is taken away needs a new process', async () => {
  const place = workplace();
  const replicas = await stableReplica(place, 'Echo-1', {}, { spec: { userConfig: 1 } });
  replicas.set.apply([place.assignment('Echo-1', {}, { spec: { hashes: { reconfigure: 'none' } } })]);
  await expect
    .poll(() => replicas.status('Echo-1')?.reconfigured, SOON)
    .toMatchObject({ hash: 'none', outcome: 'unsupported' });
  expect(place.events().some((line) => line.startsWith('control'))).toBe(false);
});

test('one preparation serves all replicas of the same content', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply(['a', 'b', 'c'].map((id) => place.assignment(id, { importDelayMs: 100 })));
  for (const id of ['a', 'b', 'c']) await reaches(replicas, id, 'ready');
  replicas.set.apply(['a', 'b', 'c', 'd'].map((id) => place.assignment(id, { importDelayMs: 100 })));
  await reaches(replicas, 'd', 'ready');
  expect(place.events().filter((line) => line === 'import-check')).toHaveLength(1);
});

test('a replica that is no longer wanted while it is prepared never starts', async () => {
  const place = workplace();
  const replicas = replicaSet(place);
  replicas.set.apply([place.assignment('Echo-1', { importDelayMs: 200 })]);
  await expect.poll(() => place.events(), SOON).toContain('import-check');
  replicas.set.apply([]);
  await reaches(replicas, 'Echo-1', 'gone');
  replicas.set.apply([place.assignment('Echo-2', { importDelayMs: 200 })]);
  await reaches(replicas, 'Echo-2', 'ready');
  expect(place.events().filter((line) => line.startsWith('start'))).toHaveLength(1);
});

test('the next agent adopts what runs, with pid and history, and restarts it when it dies', async () => {
  const place = workplace();
  const first = await stableReplica(
    place,
    'Echo-1',
    {},
    { slices: [slice('n1', 0, 1000)], spec: { gpuMilli: 1000 } },
  );
  const before = first.status('Echo-1');
  await first.set.leave();

  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.status('Echo-1')).toEqual({ ...before, sinceMs: expect.any(Number) });
  expect(second.claims.held).toMatchObject([{ replicaId: 'Echo-1', slices: [slice('n1', 0, 1000)] }]);
  second.set.apply([before?.assignment ?? expect.fail('not reported')]);
  expect(second.status('Echo-1')?.pid).toBe(before?.pid);

  process.kill(before?.pid ?? expect.fail('no process to end'), 'SIGKILL');
  await expect.poll(() => second.status('Echo-1')?.restarts, SOON).toBe(1);
  await reaches(second, 'Echo-1', 'ready');
  expect(second.status('Echo-1')?.failure?.message).toContain('it was adopted');
  await second.set.drainAll();
  expect(second.set.statuses).toEqual([]);
});

test('a replica that still starts is adopted too, and settings that changed meanwhile are told', async () => {
  const place = workplace();
  const first = replicaSet(place);
  first.set.apply([place.assignment('Echo-1', { startDelayMs: 800 })]);
  await expect.poll(() => first.status('Echo-1')?.pid ?? 0, SOON).toBeGreaterThan(0);
  const pid = first.status('Echo-1')?.pid;
  await first.set.leave();
  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.status('Echo-1')).toMatchObject({ phase: 'starting', pid });
  const spec = { userConfig: 7, hashes: { reconfigure: 'config-7' } };
  second.set.apply([place.assignment('Echo-1', { startDelayMs: 800 }, { revision: 2, spec })]);
  await expect
    .poll(() => second.status('Echo-1')?.reconfigured, SOON)
    .toEqual({ hash: 'config-7', outcome: 'applied', error: '' });
  expect(second.status('Echo-1')?.pid).toBe(pid);
});

test('what died while no agent looked is cleaned up, its forked children included', async () => {
  const place = workplace();
  const first = await stableReplica(place, 'Echo-1', { fork: true });
  const child = identityOf(Number(readFileSync(`${place.journal}.child`, 'utf8')));
  const pid = first.status('Echo-1')?.pid ?? 0;
  await first.set.leave();
  const identity = identityOf(pid);
  process.kill(pid, 'SIGKILL');
  await expect.poll(() => identity && isRunning(identity), SOON).toBe(false);
  expect(child && isRunning(child)).toBe(true);
  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.set.statuses).toEqual([]);
  expect(child && isRunning(child)).toBe(false);
  expect(new ReplicaRecords(place.paths.processes).readAll()).toEqual([]);
});

test('a process whose agent died before it wrote the pid down is found by its launch file', async () => {
  const place = workplace();
  const first = await stableReplica(place);
  const pid = first.status('Echo-1')?.pid;
  await first.set.leave();
  const records = new ReplicaRecords(place.paths.processes);
  const [record] = records.readAll();
  records.write({ ...(record ?? expect.fail('no record')), identity: null });
  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.status('Echo-1')).toMatchObject({ pid, phase: 'ready' });
});

test('another process under a remembered pid is left alone', async () => {
  const place = workplace();
  const first = await stableReplica(place);
  const pid = first.status('Echo-1')?.pid ?? 0;
  await first.set.leave();
  const records = new ReplicaRecords(place.paths.processes);
  const [record] = records.readAll();
  await killSession(pid);
  records.write({ ...(record ?? expect.fail('no record')), identity: { pid: process.pid, startTicks: 1 } });
  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.set.statuses).toEqual([]);
  expect(existsSync(record?.launchFile ?? '')).toBe(false);
});

test('a record cut short stops nothing', async () => {
  const place = workplace();
  const first = await stableReplica(place);
  await first.set.leave();
  writeFileSync(`${place.paths.processes}/replica-broken.json`, '{"format":1,"assi');
  const second = replicaSet(place);
  await second.set.adopt();
  expect(second.set.statuses).toHaveLength(1);
});
