import { expect, test } from 'vitest';
import { advance, stepOf, tokensIn, turned, waitedFor } from '../../../src/cluster/rotation/decide.ts';
import type { RotatingNode, Rotation, RotationPhase } from '../../../src/cluster/rotation/types.ts';

function rotationIn(phase: RotationPhase | null, over: Partial<Rotation> = {}): Rotation {
  return {
    ...{ from: 'old', to: 'new', phase, reason: null, sealed: 'sealed' },
    ...{ timeoutMs: 60_000, startedAtMs: 0, phaseSinceMs: 0, ...over },
  };
}

function node(nodeId: string, followed: Rotation | null, isAlive = true): RotatingNode {
  const step = followed === null ? null : stepOf(followed);
  return { nodeId, isAlive, tokens: { shows: 'old', step } };
}

test.each<[RotationPhase, RotationPhase | null]>([
  ['accept', 'use'],
  ['use', 'drop'],
  ['drop', null],
  ['back', 'restore'],
  ['restore', null],
])('after %s, which every live node has followed, comes %s', (phase, next) => {
  const rotation = rotationIn(phase);
  const nodes = [node('a', rotation), node('b', null, false), node('c', rotation)];
  expect(advance(rotation, nodes, 7)).toMatchObject({
    phase: next,
    phaseSinceMs: 7,
    reason: null,
    sealed: next === null ? null : 'sealed',
  });
  const waiting = [...nodes, node('d', rotationIn('accept', { to: 'other' }))];
  expect(waitedFor(rotation, waiting)).toEqual(['d']);
  expect(advance(rotation, waiting, 59_999)).toBeNull();
});

test.each<[RotationPhase, RotationPhase | null]>([
  ['accept', 'restore'],
  ['use', 'back'],
  ['drop', null],
  ['back', null],
  ['restore', null],
])('where a live node does not follow %s in time, comes %s', (phase, next) => {
  const rotation = rotationIn(phase);
  const late = advance(rotation, [node('a', rotation), node('b', null)], 60_000);
  const reason = 'node b did not follow within 60 s';
  expect(late).toEqual(next === null ? null : { ...rotation, phase: next, phaseSinceMs: 60_000, reason });
  expect(turned(rotation, 'cancelled', 1)?.phase ?? null).toBe(next);
});

test('a node of a version that says nothing of its token is waited for, and what has ended stays', () => {
  const rotation = rotationIn('accept');
  expect(waitedFor(rotation, [{ nodeId: 'a', isAlive: true, tokens: null }])).toEqual(['a']);
  expect(advance(rotationIn(null), [], 1)).toBeNull();
  expect(turned(rotationIn(null), 'cancelled', 1)).toBeNull();
});

test('in two neighbouring phases, of two nodes each accepts what the other shows', () => {
  const ways: readonly (readonly RotationPhase[])[] = [
    ['accept', 'use', 'drop'],
    ['accept', 'restore'],
    ['use', 'back', 'restore'],
  ];
  const ids = { from: 'old', to: 'new' };
  for (const way of ways) {
    for (const [at, phase] of way.slice(1).entries()) {
      const [one, other] = [tokensIn(way[at] ?? phase, ids), tokensIn(phase, ids)];
      expect([one.shown, one.other], `${way[at]} → ${phase}`).toContain(other.shown);
      expect([other.shown, other.other], `${way[at]} → ${phase}`).toContain(one.shown);
    }
  }
});
