import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ReplicaAssignment } from '../../../src/cluster/replicas/types.ts';
import { findProgram } from '../../../src/lib/process/find-program.ts';
import { replicaSet, type Workplace, workplace } from '../harness.ts';

const SOON = { timeout: 15_000, interval: 20 };
const noPython = findProgram('python3', process.env['PATH'] ?? '') === null;
const suffix = noPython ? ' (skipped: no python3 here)' : '';

/** A replica of a Python package whose backend.py has this body in its class. */
function pythonReplica(place: Workplace, body: string): ReplicaAssignment {
  const snapshotDir = join(place.paths.snapshots, 'python');
  mkdirSync(join(snapshotDir, 'algopkg', 'Echo'), { recursive: true });
  writeFileSync(
    join(snapshotDir, 'algopkg', 'Echo', 'backend.py'),
    `import os, time\nclass algo_backend:\n${body}\n    async def __call__(self, request):\n        return {}\n`,
  );
  return place.assignment(
    'Echo-1',
    {},
    {
      spec: { language: 'python', package: { hash: 'python', snapshotDir } },
    },
  );
}

test.skipIf(noPython)(
  `a Python replica starts, is stopped, leaves its stacks, is replaced and drains${suffix}`,
  async () => {
    const place = workplace();
    const replicas = replicaSet(place, {
      suspectAfterMs: 1_000,
      hungAfterMs: 2_000,
      healthEveryMs: 100,
    });
    replicas.set.apply([pythonReplica(place, '    def __init__(self, model_path):\n        pass')]);
    await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
    const pid = replicas.status('Echo-1')?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    await expect.poll(() => replicas.status('Echo-1')?.failure?.kind, SOON).toBe('hung');
    await expect.poll(() => replicas.status('Echo-1')?.stable, SOON).toBe(true);
    expect(replicas.status('Echo-1')?.pid).not.toBe(pid);
    expect(readFileSync(join(place.paths.replicaLogs, 'Echo', 'Echo-1.log'), 'utf8')).toMatch(
      /Fatal Python error: Aborted[\s\S]*most recent call first/,
    );
    await replicas.set.drainAll();
    expect(replicas.set.statuses).toEqual([]);
  },
);

test.skipIf(noPython)(
  `a Python constructor that raises is reported with its traceback${suffix}`,
  async () => {
    const place = workplace();
    const replicas = replicaSet(place);
    replicas.set.apply([
      pythonReplica(place, '    def __init__(self, model_path):\n        raise ValueError("bad weights")'),
    ]);
    await expect.poll(() => replicas.status('Echo-1')?.failure?.kind, SOON).toBe('start');
    expect(replicas.status('Echo-1')?.failure).toMatchObject({
      message: expect.stringContaining('bad weights'),
      traceback: expect.stringMatching(/Traceback[\s\S]*backend\.py[\s\S]*ValueError: bad weights/),
    });
  },
);
