import { describe, expect, it } from 'vitest';
import { GIB, slice } from '../builders.ts';
import {
  type Cast,
  draining,
  node,
  reconciled,
  replica,
  revised,
  rollout,
  starting,
  waiting,
} from './scene.ts';

const before = revised(1);
const after = revised(2, { hashes: { replace: 'replace-2' } });
const change = rollout(after, before);

describe('replacing replicas', () => {
  it('starts the first new one beside the old, beyond the CPUs, and drains nothing yet', () => {
    const greedy = { cpuMilli: 1000, replicas: 2 };
    const [was, will] = [revised(1, greedy), revised(2, { ...greedy, hashes: { replace: 'replace-2' } })];
    const olds = [replica('a', was), replica('b', was)];
    const told = reconciled([rollout(will, was)], [node('w1', olds, { cpus: 2 })]);
    expect(told.start).toEqual(['r2 on w1']);
    expect(told.drain).toEqual([]);
    expect(told.state).toMatchObject({ health: 'UPDATING', ready: 2, target: 2, settled: false });
  });

  it('does not exceed the CPUs for what would not fit without the old ones either', () => {
    const hungry = revised(2, { cpuMilli: 3000, hashes: { replace: 'replace-2' } });
    const told = reconciled([rollout(hungry, before)], [node('w1', [replica('a', before)], { cpus: 2 })]);
    expect(told.start).toEqual([]);
    expect(told.state).toMatchObject({
      health: 'PENDING',
      ready: 1,
      unplaced: ['node w1: 1.9 of 2 CPUs free, 3 needed'],
    });
  });

  it('waits while the new one starts, whatever else there is room for', () => {
    const [was, will] = [revised(1, { replicas: 3 }), revised(2, { replicas: 3, hashes: { replace: 'r2' } })];
    const olds = ['a', 'b', 'c'].map((id) => replica(id, was));
    const told = reconciled([rollout(will, was)], [node('w1', [...olds, starting('n', will)])]);
    expect([told.start, told.drain]).toEqual([[], []]);
  });

  it('lets the others follow when the first has proved itself, and drains one for each that has', () => {
    const [was, will] = [revised(1, { replicas: 3 }), revised(2, { replicas: 3, hashes: { replace: 'r2' } })];
    const olds = ['a', 'b', 'c'].map((id) => replica(id, was));
    const one = reconciled([rollout(will, was)], [node('w1', [...olds, replica('n', will)])]);
    expect(one.start).toEqual(['r2 on w1', 'r2 on w1']);
    expect(one.drain).toHaveLength(1);
    const news = ['n', 'm', 'l'].map((id) => replica(id, will));
    const all = reconciled([rollout(will, was)], [node('w1', [...olds, ...news])]);
    expect(all.drain.toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('exceeds the CPUs for one at a time', () => {
    const greedy = { cpuMilli: 1000, replicas: 3 };
    const [was, will] = [revised(1, greedy), revised(2, { ...greedy, hashes: { replace: 'replace-2' } })];
    const cast = [replica('a', was), replica('b', was), replica('n', will)];
    const told = reconciled([rollout(will, was)], [node('w1', cast, { cpus: 3 })]);
    expect(told.plan.start).toMatchObject([{ why: 'beside the old replica' }]);
    const under = [...cast, starting('m', will)];
    expect(reconciled([rollout(will, was)], [node('w1', under, { cpus: 3 })]).start).toEqual([]);
  });

  it('is good only when the last old one has left', () => {
    const leaving = node('w1', [draining(replica('a', before)), replica('n', after)]);
    expect(reconciled([change], [leaving]).plan.rollouts).toEqual([]);
    const left = node('w1', [draining(replica('a', before, null)), replica('n', after)]);
    const told = reconciled([change], [left]);
    expect(told.forget).toEqual(['a']);
    expect(told.plan.rollouts).toEqual([{ ...change, lastGood: after }]);
    expect(told.state).toMatchObject({ health: 'HEALTHY', settled: true, message: '' });
  });

  it('is not good before the new one was ready for min_ready_s', () => {
    const told = reconciled([change], [node('w1', [replica('n', after, { stable: false })])]);
    expect(told.plan.rollouts).toEqual([]);
    expect(told.state.health).toBe('UPDATING');
  });

  it('drops at once what was superseded before it answered', () => {
    const newest = revised(3, { hashes: { replace: 'replace-3' } });
    const told = reconciled(
      [rollout(newest, before)],
      [node('w1', [replica('a', before), starting('n', after), replica('m', after, null)])],
    );
    expect(told.drain).toEqual(['n', 'm']);
    expect(told.start).toEqual(['r3 on w1']);
  });
});

describe('replacing where there is no room beside', () => {
  const was = revised(1, { gpuMilli: 1000 });
  const will = revised(2, { gpuMilli: 1000, hashes: { replace: 'replace-2' } });
  const gpu0 = [slice('w1', 0, 1000)];
  const old = replica('a', was, { slices: gpu0 });
  const room = { gpus: 1 };

  it('promises the slot of the old one, which serves on until the new one is prepared', () => {
    const told = reconciled([rollout(will, was)], [node('w1', [old], room)]);
    expect(told.plan.start).toMatchObject([
      { nodeId: 'w1', why: 'in place of a', assignment: { slices: gpu0 } },
    ]);
    expect(told.drain).toEqual([]);
    const preparing = waiting('n', will, { slices: gpu0, phase: 'preparing', prepared: false });
    expect(reconciled([rollout(will, was)], [node('w1', [old, preparing], room)]).drain).toEqual([]);
  });

  it('drains the old one once the new one is prepared, and only that one', () => {
    const prepared = waiting('n', will, { slices: gpu0 });
    const beside = replica('b', was, { slices: [slice('w1', 1, 1000)] });
    const nodes = [node('w1', [beside, old, prepared], { gpus: 2 })];
    const two = rollout(revised(2, { ...will.spec, replicas: 2 }), revised(1, { ...was.spec, replicas: 2 }));
    const told = reconciled([two], nodes);
    expect(told.plan.drain).toMatchObject([{ replicaId: 'a', why: 'makes room for n' }]);
    expect(told.start).toEqual([]);
    const later = [node('w1', [beside, draining(old), prepared], { gpus: 2 })];
    expect(reconciled([two], later).drain).toEqual([]);
  });

  it('goes on one at a time: the next waits until the last has proved itself', () => {
    const [first, second] = [slice('w1', 0, 1000), slice('w1', 1, 1000)];
    const pair = rollout(
      revised(2, { replicas: 2, gpuMilli: 1000, hashes: { replace: 'replace-2' } }),
      revised(1, { replicas: 2, gpuMilli: 1000 }),
    );
    const last = replica('b', pair.lastGood!, { slices: [second] });
    const young = replica('n', pair.wanted!, { slices: [first], stable: false });
    expect(reconciled([pair], [node('w1', [last, young], { gpus: 2 })]).start).toEqual([]);
    const steady = replica('n', pair.wanted!, { slices: [first] });
    const told = reconciled([pair], [node('w1', [last, steady], { gpus: 2 })]);
    expect(told.plan.start).toMatchObject([{ why: 'in place of b', assignment: { slices: [second] } }]);
    expect(told.drain).toEqual([]);
  });

  it('stays pending, the old one serving, where even its slot is too small', () => {
    const larger = revised(2, { gpuMilli: 2000, hashes: { replace: 'replace-2' } });
    const told = reconciled([rollout(larger, was)], [node('w1', [old], room)]);
    expect([told.start, told.drain]).toEqual([[], []]);
    expect(told.state).toMatchObject({ health: 'PENDING', ready: 1 });
    expect(told.state.message).toContain('node w1: 0 of 1 GPUs entirely free, 2 needed');
  });

  it('never moves replicas of other deployments', () => {
    const other = revised(1, { name: 'Faces', gpuMilli: 1000 });
    const told = reconciled(
      [rollout(revised(1, { gpuMilli: 1000 })), rollout(other, other)],
      [node('w1', [replica('f', other, { slices: gpu0 })], room)],
    );
    expect([told.start, told.drain]).toEqual([[], []]);
    expect(told.state.health).toBe('PENDING');
  });

  it('takes back a promise that cannot be kept any more', () => {
    const [gpu] = node('w1', [], room).capacity.gpus;
    const lost = { ...gpu!, usable: false, reason: 'the driver lost it' };
    const capacity = { cpuMilli: 4000, memoryBytes: GIB, gpus: [lost] };
    const told = reconciled(
      [rollout(will)],
      [node('w1', [waiting('n', will, { slices: gpu0 })], { capacity })],
    );
    expect(told.drain).toEqual(['n']);
    expect(told.state.unplaced).toContain('node w1: GPU 0 (virtual) is unusable: the driver lost it');
  });
});

describe('what is said of a deployment while it changes', () => {
  const [was, will] = [revised(1, { replicas: 2 }), revised(2, { replicas: 2, hashes: { replace: 'r2' } })];
  const told = (...cast: readonly Cast[]) =>
    reconciled([rollout(will, was)], [node('w1', cast)]).state.message;

  it('is what its new replicas do, counted where they do the same', () => {
    const loading = { message: 'loading the backend' };
    expect(told(starting('a', will, loading))).toBe('starting: loading the backend');
    expect(told(starting('a', will, loading), starting('b', will, loading), replica('o', was))).toBe(
      '2 replicas starting: loading the backend; 1 old replica still to leave',
    );
  });

  it('is how long they must stay ready, once they answer', () => {
    const fresh = replica('a', will, { stable: false });
    expect(told(fresh, replica('b', will))).toBe(`must stay ready for ${will.spec.minReadyMs / 1000} s`);
  });
});
