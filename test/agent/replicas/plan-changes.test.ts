import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planChanges } from '../../../src/agent/replicas/plan-changes.ts';
import type { ReplicaAssignment } from '../../../src/cluster/replicas/types.ts';
import { pinnedSpec, slice } from '../../cluster/builders.ts';

interface Shape {
  readonly id?: string;
  readonly replace?: string;
  readonly config?: string;
  readonly revision?: number;
  readonly gpu?: number;
  readonly desired?: 'run' | 'drain';
}

function assignment({ id = 'a', replace = 'r', config = 'c', revision = 1, gpu, desired = 'run' }: Shape) {
  return {
    replicaId: id,
    deployment: 'Echo',
    revision,
    desired,
    slices: gpu === undefined ? [] : [slice('n1', gpu, 500)],
    spec: pinnedSpec({ hashes: { replace, reconfigure: config } }),
  } satisfies ReplicaAssignment;
}

const idsOf = (list: readonly ReplicaAssignment[]): string[] => list.map(({ replicaId }) => replicaId);

test.each<[string, (Shape & { draining?: boolean }) | null, Shape | null, Partial<Record<string, string[]>>]>(
  [
    ['a new one', null, {}, { start: ['a'] }],
    ['the same', {}, {}, {}],
    ['another user_config', {}, { config: 'd' }, { update: ['a'] }],
    ['another revision of the same', {}, { revision: 2 }, { update: ['a'] }],
    ['other code', {}, { replace: 's' }, { replace: ['a'] }],
    ['another GPU', { gpu: 0 }, { gpu: 1 }, { replace: ['a'] }],
    ['one that shall drain', {}, { desired: 'drain' }, { drain: ['a'] }],
    ['one that is not listed any more', {}, null, { drain: ['a'] }],
    ['one that drains already', { draining: true }, { desired: 'drain' }, {}],
    ['one wanted again while it drains', { draining: true }, {}, { replace: ['a'] }],
    ['one to drain that is not there', null, { desired: 'drain' }, {}],
  ],
)('%s', (_what, present, wanted, expected) => {
  const plan = planChanges(
    present === null ? [] : [{ assignment: assignment(present), draining: present.draining ?? false }],
    wanted === null ? [] : [assignment(wanted)],
  );
  expect({
    start: idsOf(plan.start),
    update: idsOf(plan.update),
    replace: idsOf(plan.replace),
    drain: plan.drain,
  }).toEqual({ start: [], update: [], replace: [], drain: [], ...expected });
});

const shapes = fc.uniqueArray(
  fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    replace: fc.constantFrom('r', 's'),
    config: fc.constantFrom('c', 'd'),
    desired: fc.constantFrom<'run' | 'drain'>('run', 'drain'),
  }),
  { selector: ({ id }) => id },
);

test('each replica is in one list at most, and following a plan leaves nothing to do', () => {
  fc.assert(
    fc.property(shapes, shapes, (before, wanted) => {
      const present = before.map((shape) => ({
        assignment: assignment({ ...shape, desired: 'run' }),
        draining: shape.desired === 'drain',
      }));
      const goal = wanted.map(assignment);
      const plan = planChanges(present, goal);
      const touched = [...idsOf([...plan.start, ...plan.update, ...plan.replace]), ...plan.drain];
      expect(new Set(touched).size).toBe(touched.length);
      const running = goal.filter(({ desired }) => desired === 'run');
      const after = running.map((replica) => ({ assignment: replica, draining: false }));
      expect(planChanges(after, goal)).toEqual({ start: [], update: [], replace: [], drain: [] });
    }),
  );
});
