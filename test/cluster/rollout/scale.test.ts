import { describe, expect, it } from 'vitest';
import { adoptReported } from '../../../src/cluster/rollout/adopt-reported.ts';
import { slice } from '../builders.ts';
import { draining, node, reconciled, replica, revised, rollout, starting, waiting } from './scene.ts';

const one = revised(1);

describe('scaling', () => {
  it('starts what fits and says why the rest does not', () => {
    const many = rollout(revised(1, { replicas: 4, gpuMilli: 340 }));
    const told = reconciled([many], [node('w1', [], { gpus: 1 })]);
    expect(told.start).toHaveLength(2);
    expect(told.state).toMatchObject({
      health: 'PENDING',
      settled: false,
      unplaced: ['node w1: GPU 0 (virtual) has 0.32 free, 0.34 needed'],
    });
  });

  it('is good with what could be placed, if that is anything at all, but not settled', () => {
    const many = rollout(revised(1, { replicas: 2, gpuMilli: 1000 }));
    const running = replica('a', many.wanted!, { slices: [slice('w1', 0, 1000)] });
    const told = reconciled([many], [node('w1', [running], { gpus: 1 })]);
    expect(told.plan.rollouts).toEqual([{ ...many, lastGood: many.wanted }]);
    expect(told.state).toMatchObject({ health: 'PENDING', ready: 1, settled: false });
    expect(reconciled([many], [node('w1')]).plan.rollouts).toEqual([]);
  });

  it('drains first what does not serve, then where most are, then the newest', () => {
    const cast = [replica('a', one, { startedAtMs: 1 }), replica('b', one, { startedAtMs: 2 })];
    const other = [replica('c', one, { startedAtMs: 3 }), starting('d', one)];
    const down = (replicas: number) =>
      reconciled([rollout(revised(1, { replicas }), one)], [node('w1', cast), node('w2', other)]).drain;
    expect(down(3)).toEqual(['d']);
    expect(down(2)).toEqual(['d', 'b']);
    expect(down(1)).toEqual(['d', 'b', 'c']);
    expect(down(0).toSorted()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('ends when those that are too many have left', () => {
    const down = rollout(revised(2, { replicas: 1 }), revised(1, { replicas: 2 }));
    const kept = replica('a', down.wanted!);
    const leaving = draining(replica('b', down.lastGood!, { phase: 'draining', stable: false }));
    expect(reconciled([down], [node('w1', [kept, leaving])]).state.settled).toBe(false);
    expect(reconciled([down], [node('w1', [kept])]).state).toMatchObject({
      settled: true,
      health: 'HEALTHY',
    });
  });

  it('promises the slot of one that leaves', () => {
    const spec = revised(1, { gpuMilli: 1000 });
    const other = revised(1, { name: 'Faces', gpuMilli: 1000 });
    const gone = { ...rollout(null, other), deployment: 'Faces' };
    const faces = replica('f', other, { slices: [slice('w1', 0, 1000)] });
    const told = reconciled([rollout(spec), gone], [node('w1', [faces], { gpus: 1 })]);
    expect([told.start, told.drain]).toEqual([['r1 on w1'], ['f']]);
    const promised = waiting('n', spec, { slices: [slice('w1', 0, 1000)] });
    const later = reconciled([rollout(spec), gone], [node('w1', [draining(faces), promised], { gpus: 1 })]);
    expect([later.start, later.drain]).toEqual([[], []]);
  });

  it('changes routing in place, good at once for replicas that have proved themselves', () => {
    const routed = revised(2, { hashes: { routing: 'routing-2' } });
    const change = rollout(routed, one);
    const told = reconciled([change], [node('w1', [replica('a', one)])]);
    expect([told.start, told.drain, told.update]).toEqual([[], [], ['a to r2']]);
    expect(reconciled([change], [node('w1', [replica('a', routed)])]).state.settled).toBe(true);
    const untold = { assignment: replica('a', routed).assignment, status: replica('a', one).status };
    expect(reconciled([change], [node('w1', [untold])]).state.settled).toBe(false);
  });

  it('updates replicas on nodes that leave too', () => {
    const change = rollout(revised(2, { hashes: { routing: 'routing-2' } }), one);
    const nodes = [node('w1', [replica('a', one)], { draining: true }), node('w2')];
    expect(reconciled([change], nodes).update).toEqual(['a to r2']);
  });

  it('tells a lost replica from a lost deployment', () => {
    const two = revised(1, { replicas: 2 });
    const state = (phase: 'ready' | 'starting') =>
      reconciled(
        [rollout(two, two)],
        [node('w1', [replica('a', two, { phase, stable: false }), starting('b', two)])],
      ).state.health;
    expect(state('ready')).toBe('DEGRADED');
    expect(state('starting')).toBe('UNHEALTHY');
  });
});

describe('stopping', () => {
  it('drains everything of a section that is gone, and is over when the last has left', () => {
    const gone = rollout(null, one);
    const first = reconciled([gone], [node('w1', [replica('a', one), starting('b', one)])]);
    expect(first.drain).toEqual(['a', 'b']);
    expect(first.state).toMatchObject({ health: 'STOPPING', message: '2 replicas still to leave' });
    const last = reconciled([gone], [node('w1', [draining(replica('a', one, null))])]);
    expect([last.forget, last.plan.finished, last.plan.states]).toEqual([['a'], ['Echo'], []]);
  });

  it('drains what no rollout names', () => {
    const stray = replica('x', revised(1, { name: 'Stray' }));
    expect(reconciled([rollout(one, one)], [node('w1', [replica('a', one), stray])]).drain).toEqual(['x']);
  });
});

describe('adoptReported', () => {
  it('adds what a node runs beyond its assignments, but not what has stopped', () => {
    const [known, found] = [replica('a', one), replica('b', one)];
    const stopped = replica('c', one, { phase: 'stopped' });
    const { report } = node('w1', [known, found, stopped]);
    expect(adoptReported([known.assignment], report!)).toEqual([known.assignment, found.assignment]);
    const all = [known.assignment, found.assignment];
    expect(adoptReported(all, report!)).toBe(all);
  });
});
