import { expect, test } from 'vitest';
import type { Rotation, RotationPhase } from '../../../src/cluster/rotation/types.ts';
import { keyIdOf } from '../../../src/config/token.ts';
import { sealToken, type TokenRing } from '../../../src/config/token-ring.ts';
import { wantedPair } from '../../../src/roles/tokens/wanted-pair.ts';

function rotationIn(phase: RotationPhase | null, reason: string | null = null): Rotation {
  return {
    ...{ from: keyIdOf('old'), to: keyIdOf('new'), phase, reason },
    sealed: phase === null ? null : sealToken('new', 'old'),
    ...{ timeoutMs: 1, startedAtMs: 0, phaseSinceMs: 0 },
  };
}

const ring = (shown: string, other: string | null = null, past: readonly string[] = []): TokenRing => ({
  ...{ shown, other },
  past: past.map(keyIdOf),
});
const OLD = ring('old');

test.each<[RotationPhase | null, TokenRing, object | null]>([
  ['accept', OLD, { shown: 'old', other: 'new' }],
  ['accept', ring('old', 'new'), null],
  ['accept', ring('new'), null],
  ['use', ring('old', 'new'), { shown: 'new', other: 'old' }],
  ['use', OLD, { shown: 'new', other: 'old' }],
  ['use', ring('new'), null],
  ['drop', ring('new', 'old'), { shown: 'new', other: null }],
  ['drop', OLD, { shown: 'new', other: null }],
  ['back', ring('new', 'old'), { shown: 'old', other: 'new' }],
  ['back', ring('new'), null],
  ['restore', ring('old', 'new'), { shown: 'old', other: null }],
  ['restore', ring('new'), null],
  [null, ring('new', 'old'), { shown: 'new', other: null }],
  [null, ring('old', 'new'), { shown: 'new', other: null }],
  [null, ring('new'), null],
  [null, ring('newer', null, ['new']), null],
])('in phase %s a node with %j uses %j', (phase, known, expected) => {
  expect(wantedPair(rotationIn(phase), known)).toEqual(expected);
});

test('a rotation that was turned leaves the old token', () => {
  expect(wantedPair(rotationIn(null, 'cancelled'), ring('old', 'new'))).toEqual({
    shown: 'old',
    other: null,
  });
});

test.each<[RotationPhase | null, TokenRing]>([
  [null, OLD],
  [null, ring('other')],
  ['use', ring('other')],
])('in phase %s a node that has only %j is told what happened, and what to do', (phase, known) => {
  expect(() => wantedPair(rotationIn(phase), known)).toThrow(/copy the file `token` from the head/);
});
