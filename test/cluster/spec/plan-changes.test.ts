import { describe, expect, it } from 'vitest';
import { planChanges } from '../../../src/cluster/spec/plan-changes.ts';
import type { PinnedSpec } from '../../../src/cluster/spec/types.ts';
import { pinnedSpec } from '../builders.ts';
import { revised, rollout } from '../rollout/scene.ts';

const differences = (from: PinnedSpec, to: PinnedSpec) => [
  { key: 'replicas', from: String(from.replicas), to: String(to.replicas), effect: 'scale' },
];
const failed = { revision: 1, message: '', traceback: '', atMs: 0 };

describe('planChanges', () => {
  it('finds nothing to do when nothing differs', () => {
    expect(planChanges([rollout(revised(1))], [pinnedSpec()], differences)).toEqual([]);
  });

  it('lists in the order of the file, removed sections last', () => {
    const before = [rollout(revised(1, { name: 'Gone' })), rollout(revised(1))];
    const after = [pinnedSpec({ name: 'Fresh' }), pinnedSpec({ replicas: 3 })];
    expect(planChanges(before, after, differences)).toEqual([
      { deployment: 'Fresh', kind: 'added', effects: [], differences: [] },
      {
        deployment: 'Echo',
        kind: 'changed',
        effects: ['scale'],
        differences: [{ key: 'replicas', from: '1', to: '3' }],
      },
      { deployment: 'Gone', kind: 'removed', effects: [], differences: [] },
    ]);
  });

  it('orders effects by reach', () => {
    const hashes = { replace: 'x', routing: 'x', reconfigure: 'x' };
    const [change] = planChanges([rollout(revised(1))], [pinnedSpec({ hashes })], differences);
    expect(change?.effects).toEqual(['routing', 'reconfigure', 'replace']);
  });

  it('tries again what failed, and plans a way back from it', () => {
    const broken = revised(2, { hashes: { replace: 'broken' } });
    const before = [rollout(broken, revised(1), failed)];
    const kinds = (spec: PinnedSpec) => planChanges(before, [spec], differences).map(({ kind }) => kind);
    expect(kinds(broken.spec)).toEqual(['retried']);
    expect(kinds(pinnedSpec())).toEqual(['changed']);
  });

  it('adds a section again that is still stopping, and removes it only once', () => {
    const stopping = [{ ...rollout(null, revised(1)), deployment: 'Echo' }];
    expect(planChanges(stopping, [pinnedSpec()], differences).map(({ kind }) => kind)).toEqual(['added']);
    expect(planChanges(stopping, [], differences)).toEqual([]);
  });
});
