import { expect, test } from 'vitest';
import { identityOf, isRunning } from '../../../src/lib/process/identity.ts';
import { replicaSet, workplace } from '../harness.ts';

const LIMITS = { suspectAfterMs: 1_000, hungAfterMs: 2_500, healthEveryMs: 60_000 };
const SOON = { timeout: 15_000, interval: 20 };

test('a stopped replica is suspected, then killed and replaced', async () => {
  const place = workplace();
  const replicas = replicaSet(place, LIMITS);
  replicas.set.apply([place.assignment('Echo-1')]);
  await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
  const pid = replicas.status('Echo-1')?.pid ?? 0;
  const identity = identityOf(pid);
  process.kill(pid, 'SIGSTOP');
  await expect.poll(() => replicas.status('Echo-1')?.phase, SOON).toBe('suspect');
  await expect.poll(() => replicas.status('Echo-1')?.failure?.kind, SOON).toBe('hung');
  await expect.poll(() => replicas.status('Echo-1')?.phase, SOON).toBe('ready');
  expect(replicas.status('Echo-1')).toMatchObject({ restarts: 1, startFailures: 0 });
  expect(identity && isRunning(identity)).toBe(false);
});

test('a suspect that goes on in time stays', async () => {
  const place = workplace();
  const replicas = replicaSet(place, { ...LIMITS, hungAfterMs: 60_000 });
  replicas.set.apply([place.assignment('Echo-1')]);
  await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
  const pid = replicas.status('Echo-1')?.pid ?? 0;
  process.kill(pid, 'SIGSTOP');
  await expect.poll(() => replicas.status('Echo-1')?.phase, SOON).toBe('suspect');
  process.kill(pid, 'SIGCONT');
  await expect.poll(() => replicas.status('Echo-1')?.phase, SOON).toBe('ready');
  expect(replicas.status('Echo-1')).toMatchObject({ pid, stable: true, failure: null });
});

test('silence is a hang for one that idles, not for one that computes', async () => {
  const place = workplace();
  const replicas = replicaSet(place, LIMITS);
  replicas.set.apply([
    place.assignment('busy', { busyAfterMs: 600 }),
    place.assignment('idle', { silentAfterMs: 600 }),
  ]);
  await expect.poll(() => replicas.status('busy')?.stable, SOON).toBe(true);
  const pid = replicas.status('busy')?.pid;
  await expect.poll(() => replicas.status('idle')?.failure?.kind, SOON).toBe('hung');
  await expect.poll(() => replicas.status('idle')?.restarts, SOON).toBeGreaterThan(1);
  expect(replicas.status('busy')).toMatchObject({ pid, phase: 'ready', restarts: 0 });
});

test('one whose own health() says three times that it is of no use is ended in order and replaced', async () => {
  const place = workplace();
  const replicas = replicaSet(place, { ...LIMITS, healthEveryMs: 50 });
  replicas.set.apply([place.assignment('ill', { unhealthy: 'model gone' }), place.assignment('well')]);
  await expect.poll(() => replicas.status('ill')?.restarts, SOON).toBeGreaterThan(0);
  expect(replicas.status('ill')?.failure).toMatchObject({
    kind: 'unhealthy',
    message: 'its health() failed: model gone',
  });
  expect(place.events()).toContain('control {"op":"drain","grace_ms":10000}');
  expect(replicas.status('well')).toMatchObject({ phase: 'ready', restarts: 0 });
});
