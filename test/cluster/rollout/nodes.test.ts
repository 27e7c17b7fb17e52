import { describe, expect, it } from 'vitest';
import { draining, node, reconciled, replica, revised, rollout, starting } from './scene.ts';

const one = revised(1);
const two = revised(1, { replicas: 2 });
const GONE = { alive: false };
const LEAVING = { draining: true };

describe('nodes that are lost', () => {
  it('replaces what ran there elsewhere, and keeps it assigned until then: it may answer still', () => {
    const gone = node('w1', [replica('a', one)], GONE);
    const first = reconciled([rollout(one, one)], [gone, node('w2'), node('w3')]);
    expect([first.forget, first.start]).toEqual([[], ['r1 on w2']]);
    const second = reconciled([rollout(one, one)], [gone, node('w2', [starting('n', one)]), node('w3')]);
    expect([second.forget, second.start]).toEqual([[], []]);
    const third = reconciled([rollout(one, one)], [gone, node('w2', [replica('n', one)]), node('w3')]);
    expect([third.forget, third.start]).toEqual([['a'], []]);
  });

  it('goes on with what runs there when it comes back before anything has taken its place', () => {
    const alone = [
      node('w1', [replica('a', one)], GONE),
      node('w2', [], { cpus: 0 }),
      node('w3', [], { cpus: 0 }),
    ];
    const away = reconciled([rollout(one, one)], alone);
    expect([away.forget, away.start, away.state.health]).toEqual([[], [], 'PENDING']);
    const back = reconciled([rollout(one, one)], [node('w1', [replica('a', one)]), ...alone.slice(1)]);
    expect([back.start, back.drain, back.state.health]).toEqual([[], [], 'HEALTHY']);
  });

  it('forgets there what is superseded, was leaving, or left with its node', () => {
    const change = rollout(revised(2, { replicas: 2, hashes: { replace: 'replace-2' } }), two);
    const cast = [replica('a', two), draining(replica('b', two))];
    const others = [node('w2', [replica('n', change.wanted ?? two)]), node('w3')];
    expect(reconciled([change], [node('w1', cast, GONE), ...others]).forget).toEqual(['b', 'a']);
    const left = node('w1', [replica('a', one)], { ...GONE, ...LEAVING });
    expect(reconciled([rollout(one, one)], [left, node('w2'), node('w3')]).forget).toEqual(['a']);
    expect(reconciled([], [node('w1', cast, GONE), node('w2'), node('w3')]).forget).toEqual(['b', 'a']);
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
