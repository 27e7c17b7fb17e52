import { describe, expect, it } from 'vitest';
import { draining, node, reconciled, replica, revised, rollout, starting } from './scene.ts';

const one = revised(1);
const two = revised(1, { replicas: 2 });
const GONE = { alive: false };
const LEAVING = { draining: true };

describe('nodes that are lost', () => {
  it('replaces what ran there elsewhere', () => {
    const told = reconciled(
      [rollout(one, one)],
      [node('w1', [replica('a', one)], GONE), node('w2'), node('w3')],
    );
    expect([told.forget, told.start]).toEqual([['a'], ['r1 on w2']]);
  });

  it.each([
    { nodes: 2, gone: 1, moves: true },
    { nodes: 4, gone: 1, moves: true },
    { nodes: 4, gone: 2, moves: false },
    { nodes: 5, gone: 2, moves: true },
    { nodes: 3, gone: 2, moves: false },
  ])('when $gone of $nodes vanish at once: moves $moves', ({ nodes, gone, moves }) => {
    const all = Array.from({ length: nodes }, (_, index) => {
      const cast = index === 0 ? [replica('a', one)] : [];
      return node(`w${index}`, cast, index < gone ? GONE : {});
    });
    const told = reconciled([rollout(one, one)], all);
    expect(told.start).toHaveLength(moves ? 1 : 0);
    expect(told.forget).toHaveLength(moves ? 1 : 0);
    if (!moves) expect(told.state.message).toContain(`${gone} of ${nodes} nodes vanished together`);
  });

  it('concludes nothing of a node that has not reported', () => {
    const silent = node('w1', [replica('a', two), draining(replica('b', two))], { report: null });
    const told = reconciled([rollout(two, two)], [silent]);
    expect([told.forget, told.drain]).toEqual([[], []]);
    expect(told.state.unplaced).toEqual(['node w1: it has not reported yet what it runs']);
  });

  it('takes a replica as gone only from a report that knows of its drain', () => {
    const cast = [draining(replica('b', one, null)), replica('a', one)];
    const report = node('w1', cast).report!;
    const seen = (over: Partial<typeof report>) =>
      reconciled([rollout(one, one)], [node('w1', cast, { report: { ...report, ...over } })]).forget;
    expect(seen({})).toEqual(['b']);
    expect(seen({ assignmentVersion: 4 })).toEqual([]);
    expect(seen({ incarnation: 'i0' })).toEqual([]);
  });

  it('counts an assigned replica as coming while its node says nothing of it', () => {
    const told = reconciled([rollout(one)], [node('w1', [replica('a', one, null)])]);
    expect(told.start).toEqual([]);
  });
});

describe('nodes that leave', () => {
  it('starts replacements elsewhere first, and lets go when they have proved themselves', () => {
    const leaving = node('w1', [replica('a', one)], LEAVING);
    const first = reconciled([rollout(one, one)], [leaving, node('w2')]);
    expect([first.start, first.drain]).toEqual([['r1 on w2'], []]);
    const second = reconciled([rollout(one, one)], [leaving, node('w2', [starting('n', one)])]);
    expect([second.start, second.drain]).toEqual([[], []]);
    const third = reconciled([rollout(one, one)], [leaving, node('w2', [replica('n', one)])]);
    expect([third.start, third.drain]).toEqual([[], ['a']]);
  });

  it('lets go at once where there is no room elsewhere', () => {
    const told = reconciled([rollout(one, one)], [node('w1', [replica('a', one)], LEAVING)]);
    expect([told.start, told.drain]).toEqual([[], ['a']]);
    expect(told.state.unplaced).toEqual(['node w1: it is draining']);
  });

  it('lets go of as many as find no room, and keeps the others until they are replaced', () => {
    const greedy = revised(1, { replicas: 3, cpuMilli: 1000 });
    const cast = ['a', 'b', 'c'].map((id) => replica(id, greedy));
    const told = reconciled(
      [rollout(greedy, greedy)],
      [node('w1', cast, LEAVING), node('w2', [], { cpus: 2 })],
    );
    expect(told.start).toHaveLength(2);
    expect(told.drain).toHaveLength(1);
  });

  it('drains old replicas there before others', () => {
    const [was, will] = [revised(1, { replicas: 2 }), revised(2, { replicas: 2, hashes: { replace: 'r2' } })];
    const leaving = node('w2', [replica('b', was)], LEAVING);
    const told = reconciled(
      [rollout(will, was)],
      [node('w1', [replica('a', was), replica('n', will)]), leaving],
    );
    expect(told.drain).toEqual(['b']);
  });

  it('lets go of old replicas too when the new ones find no room', () => {
    const change = rollout(revised(2, { hashes: { replace: 'replace-2' } }), one);
    const told = reconciled([change], [node('w1', [replica('a', one)], LEAVING)]);
    expect(told.drain).toEqual(['a']);
  });
});
