import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { PinnedSpec } from '../../src/cluster/spec/types.ts';
import { Housekeeping } from '../../src/controller/housekeeping.ts';
import { DurableRevisions } from '../../src/controller/revisions.ts';
import { silentLog } from '../../src/lib/log.ts';
import { pruneSnapshots } from '../../src/packages/prune.ts';
import { pinnedSpec } from '../cluster/builders.ts';
import { rollout } from '../cluster/rollout/scene.ts';

const LONG_AGO = new Date(0);

function hashOf(number: number): string {
  return number.toString(16).padStart(64, '0');
}

/** The spec that revision `number` brought: each with another package content. */
function specOf(number: number): PinnedSpec {
  return pinnedSpec({ package: { ...pinnedSpec().package, hash: hashOf(number) } });
}

/** A head's disk with `count` revisions, each with a snapshot of its own that is old enough to go. */
async function disk(count: number): Promise<{ revisions: DurableRevisions; snapshotsDir: string }> {
  const root = mkdtempSync(join(tmpdir(), 'modelserve-tidy-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const revisions = new DurableRevisions(join(root, 'revisions'));
  const snapshotsDir = join(root, 'snapshots');
  const settings = { port: 8000, ingressProcesses: 1, maxBodyBytes: 1, metricsOpen: false, accessLog: false };
  for (let number = 1; number <= count; number += 1) {
    const rest = { createdAtMs: 0, confPath: '', confText: '', settings };
    await revisions.record({ number, ...rest, deployments: [specOf(number)] });
    const snapshot = join(snapshotsDir, hashOf(number));
    mkdirSync(snapshot, { recursive: true });
    utimesSync(snapshot, LONG_AGO, LONG_AGO);
  }
  return { revisions, snapshotsDir };
}

function pruneIn(snapshotsDir: string) {
  return (keep: readonly PinnedSpec[], graceMs: number): Promise<readonly string[]> =>
    pruneSnapshots({ snapshotsDir, keep: keep.map((spec) => spec.package.hash), graceMs });
}

const snapshotsIn = (folder: string): number[] =>
  readdirSync(folder)
    .map((name) => Number.parseInt(name, 16))
    .sort((left, right) => left - right);

test('keeps the last thirty revisions, the contents of the last ten, and what rollouts stand on or runs', async () => {
  const { revisions, snapshotsDir } = await disk(40);
  const standing = rollout({ revision: 40, spec: specOf(40) }, { revision: 3, spec: specOf(3) });
  const dependencies = {
    revisions,
    log: silentLog,
    pruneContents: pruneIn(snapshotsDir),
    state: { rollouts: [standing] },
  };
  await new Housekeeping({ ...dependencies, assigned: () => [specOf(5)] }).tidy();
  const last = Array.from({ length: 30 }, (_, index) => index + 11);
  expect(await revisions.numbers()).toEqual([3, ...last]);
  expect(snapshotsIn(snapshotsDir)).toEqual([3, 5, ...last.slice(-10)]);
});

test('touches nothing while it cannot know what runs', async () => {
  const { revisions, snapshotsDir } = await disk(32);
  const dependencies = {
    revisions,
    log: silentLog,
    pruneContents: pruneIn(snapshotsDir),
    state: { rollouts: [] },
  };
  await new Housekeeping({ ...dependencies, assigned: () => null }).tidy();
  expect(await revisions.numbers()).toHaveLength(32);
  expect(snapshotsIn(snapshotsDir)).toHaveLength(32);
});
