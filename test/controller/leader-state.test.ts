import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Rollout } from '../../src/cluster/rollout/types.ts';
import type { PinnedSpec, Revision } from '../../src/cluster/spec/types.ts';
import { LeaderState, wantRevision } from '../../src/controller/leader-state.ts';
import { DurableRevisions } from '../../src/controller/revisions.ts';
import { sha256 } from '../../src/lib/hash.ts';
import { pinnedSpec } from '../cluster/builders.ts';
import { revised, rollout } from '../cluster/rollout/scene.ts';
import { tempDir } from '../support/temp-dir.ts';
import { draftOf } from './world.ts';

const revision = (number: number, ...deployments: PinnedSpec[]): Revision => ({
  ...draftOf(deployments),
  number,
  createdAtMs: 0,
});
const changed = pinnedSpec({ hashes: { replace: 'replace-2' } });
const failure = { revision: 1, message: 'no', traceback: '', atMs: 0 };

describe('what a revision makes of the rollouts', () => {
  const one = revised(1);
  it.each<[string, readonly Rollout[], Revision, readonly Partial<Rollout>[]]>([
    ['a new section', [], revision(2, pinnedSpec()), [rollout(revised(2))]],
    ['one that did not change', [rollout(one, one)], revision(2, pinnedSpec()), [rollout(one, one)]],
    [
      'one that changed',
      [rollout(one, one)],
      revision(2, changed),
      [rollout({ revision: 2, spec: changed }, one)],
    ],
    [
      'one that had failed',
      [rollout(one, null, failure)],
      revision(2, pinnedSpec()),
      [rollout(revised(2), null)],
    ],
    ['one whose section is gone', [rollout(one, one)], revision(2), [rollout(null, one)]],
    [
      'one that failed and whose section is gone',
      [rollout(one, null, failure)],
      revision(2),
      [{ deployment: 'Echo', wanted: null, lastGood: null, failure: null }],
    ],
    [
      'one whose section is put back while it leaves',
      [rollout(null, one)],
      revision(3, pinnedSpec()),
      [rollout(revised(3), one)],
    ],
  ])('%s', (_what, before, next, after) => {
    expect(wantRevision(before, next)).toEqual(after);
  });
});

describe('the state of a leader on its disk', () => {
  async function loaded(folder: string): Promise<LeaderState> {
    const state = new LeaderState(new DurableRevisions(folder));
    await state.load();
    return state;
  }

  it('is what it was after a restart', async () => {
    const folder = tempDir();
    const state = await loaded(folder);
    expect(state.revision).toBeNull();
    await state.record(draftOf([pinnedSpec()]), 5);
    const good = rollout(revised(1), revised(1));
    await state.update([good], []);
    await state.remember({ highestEpoch: 7, incarnation: 'i', knownNodes: ['n1'] });
    const again = await loaded(folder);
    expect(again.revision).toEqual(state.revision);
    expect(again.revision).toMatchObject({ number: 1, createdAtMs: 5 });
    expect(again.rollouts).toEqual([good]);
    expect(again.memory).toEqual(state.memory);
    expect(again.lastRead('/project/conf.ini')).toBe(sha256(draftOf([pinnedSpec()]).confText));
    expect(again.lastRead('/elsewhere/conf.ini')).toBeNull();
  });

  it('follows a revision that was written when the process died before its rollouts were', async () => {
    const folder = tempDir();
    const state = await loaded(folder);
    await state.record(draftOf([pinnedSpec()]), 0);
    await state.update([rollout(revised(1), revised(1))], []);
    await new DurableRevisions(folder).record(revision(2, changed));
    const again = await loaded(folder);
    expect(again.rollouts).toEqual([rollout({ revision: 2, spec: changed }, revised(1))]);
    expect((await again.record(draftOf([]), 0)).number).toBe(3);
  });

  it('gives no number out twice, though a revision was taken away', async () => {
    const folder = tempDir();
    const state = await loaded(folder);
    await state.record(draftOf([]), 0);
    await state.record(draftOf([pinnedSpec()]), 0);
    await rm(join(folder, '2.json'));
    const again = await loaded(folder);
    expect(again.revision?.number).toBe(1);
    expect((await again.record(draftOf([]), 0)).number).toBe(3);
  });

  it('takes over a newer revision of the store, and no older one', async () => {
    const folder = tempDir();
    const state = await loaded(folder);
    await state.record(draftOf([]), 0);
    const theirs = [rollout(revised(4), revised(3))];
    expect(await state.adopt(revision(1, changed), theirs)).toBe(false);
    expect(await state.adopt(revision(4, pinnedSpec()), theirs)).toBe(true);
    const again = await loaded(folder);
    expect(again.revision?.number).toBe(4);
    expect(again.rollouts).toEqual(theirs);
  });

  it('writes both when a revision and a decision come at once', async () => {
    const folder = tempDir();
    const state = await loaded(folder);
    await state.record(draftOf([pinnedSpec()]), 0);
    await Promise.all([
      state.record(draftOf([pinnedSpec(), pinnedSpec({ name: 'Faces' })]), 0),
      state.update([rollout(revised(1), revised(1))], []),
      state.remember({ writeCount: 9 }),
    ]);
    const again = await loaded(folder);
    expect(again.memory.writeCount).toBe(9);
    expect(again.rollouts).toEqual([rollout(revised(1), revised(1)), rollout(revised(2, { name: 'Faces' }))]);
  });

  it.each(['2.json', 'leader.json'])('names %s when it is damaged', async (name) => {
    const folder = tempDir();
    const state = await loaded(folder);
    await state.record(draftOf([]), 0);
    await state.record(draftOf([pinnedSpec()]), 0);
    const text = await readFile(join(folder, name), 'utf8');
    await writeFile(join(folder, name), text.slice(0, text.length / 2));
    await expect(loaded(folder)).rejects.toThrow(new RegExp(`${name} is damaged.*Move it away`));
  });
});
