import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choose } from '../../../src/cluster/routing/choose.ts';

const loads = fc.array(fc.record({ inFlight: fc.nat(5), limit: fc.nat(5) }), { maxLength: 12 });

/** Numbers in [0, 1) from a list, over and over. */
function randomFrom(values: readonly number[]): () => number {
  let at = 0;
  return () => values[at++ % values.length] ?? 0;
}

const randoms = fc
  .array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 1, maxLength: 5 })
  .map(randomFrom);

describe('choose', () => {
  it('takes one with room whenever there is one, and none otherwise', () => {
    fc.assert(
      fc.property(loads, randoms, (candidates, random) => {
        const chosen = choose(candidates, random);
        const hasRoom = candidates.some(({ inFlight, limit }) => inFlight < limit);
        expect(chosen !== null).toBe(hasRoom);
        if (chosen !== null) expect(chosen.inFlight).toBeLessThan(chosen.limit);
      }),
    );
  });

  it('takes the less loaded of two', () => {
    fc.assert(
      fc.property(fc.nat(9), fc.nat(9), randoms, (left, right, random) => {
        const candidates = [
          { inFlight: left, limit: 10 },
          { inFlight: right, limit: 10 },
        ];
        expect(choose(candidates, random)?.inFlight).toBe(Math.min(left, right));
      }),
    );
  });

  it('spreads over equals', () => {
    const candidates = Array.from({ length: 10 }, (_, id) => ({ id, inFlight: 0, limit: 1 }));
    const seen = new Set(
      Array.from({ length: 1_000 }, (_, at) =>
        choose(candidates, randomFrom([at / 1_000, ((at * 7) % 1_000) / 1_000])),
      ).map((candidate) => candidate?.id),
    );
    expect(seen.size).toBe(10);
  });
});
