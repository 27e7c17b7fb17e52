import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { partsOf, planMemory, type UnitView } from '../../src/connector/memory-plan.ts';

interface Unit extends UnitView {
  readonly name: string;
}

function unit(name: string, about: Partial<UnitView> = {}): Unit {
  const plain = { sizeBytes: 10, isHeld: false, waiters: 0, isPinned: false, isSpent: false, lastUse: 0 };
  return { name, ...plain, ...about };
}

function names(units: readonly Unit[], roomBytes: number): { evict: string; admit: string } {
  const { evict, admit } = planMemory(units, roomBytes);
  return { evict: evict.map((one) => one.name).join(''), admit: admit.map((one) => one.name).join('') };
}

describe('planMemory', () => {
  it.each([
    ['as many as there is room for, in order', [unit('a'), unit('b'), unit('c')], 20, '', 'ab'],
    ['none that would overtake a larger one', [unit('a', { sizeBytes: 30 }), unit('b')], 20, '', ''],
    [
      'what was read to its end makes room for what comes next, the one used longest ago first',
      [
        ...[unit('a', { isHeld: true, isSpent: true, lastUse: 2 })],
        ...[unit('b', { isHeld: true, isSpent: true, lastUse: 1 }), unit('c')],
      ],
      ...([0, 'b', 'c'] as const),
    ],
    [
      'nothing else does',
      [unit('a', { isHeld: true }), unit('b', { isHeld: true, lastUse: 1 }), unit('c')],
      0,
      '',
      '',
    ],
    [
      'what somebody waits for comes first, and the last of what nobody has read makes room',
      [
        unit('a', { isHeld: true, lastUse: 1 }),
        unit('b', { isHeld: true }),
        unit('c', { isHeld: true }),
        unit('d', { waiters: 1 }),
      ],
      ...([0, 'c', 'd'] as const),
    ],
    [
      'then what was begun',
      [
        unit('a', { isHeld: true, lastUse: 1 }),
        unit('b', { isHeld: true, lastUse: 2 }),
        unit('c', { waiters: 1 }),
      ],
      ...([0, 'a', 'c'] as const),
    ],
    [
      'it comes even where nothing can go',
      [
        unit('a', { isHeld: true, isPinned: true }),
        unit('b', { isHeld: true, waiters: 1 }),
        unit('c', { waiters: 1 }),
      ],
      ...([0, '', 'c'] as const),
    ],
    [
      'what was read and given up is not fetched again',
      [unit('a', { isSpent: true }), unit('b')],
      20,
      '',
      'b',
    ],
    ['unless somebody asks', [unit('a', { isSpent: true, waiters: 1 }), unit('b')], 20, '', 'ab'],
  ] as const)('%s', (_, units, room, ...[evict, admit]) => {
    expect(names(units as readonly Unit[], room)).toEqual({ evict, admit });
  });

  it('holds more than the limit only where somebody waits, and gives up nothing that is needed', () => {
    const anyUnit = fc.record({
      sizeBytes: fc.integer({ min: 0, max: 20 }),
      ...{ isHeld: fc.boolean(), isPinned: fc.boolean(), isSpent: fc.boolean() },
      ...{ waiters: fc.integer({ min: 0, max: 2 }), lastUse: fc.integer({ min: 0, max: 5 }) },
    });
    fc.assert(
      fc.property(fc.array(anyUnit, { maxLength: 12 }), fc.integer({ min: -20, max: 60 }), (units, room) => {
        const { evict, admit } = planMemory(units, room);
        const sum = (some: readonly UnitView[]) => some.reduce((total, one) => total + one.sizeBytes, 0);
        const unasked = admit.filter((one) => one.waiters === 0 && one.sizeBytes > 0);
        if (unasked.length > 0) expect(sum(admit)).toBeLessThanOrEqual(room + sum(evict));
        for (const one of evict) expect(one.isHeld && !one.isPinned && one.waiters === 0).toBe(true);
        for (const one of admit) expect(one.isHeld).toBe(false);
        for (const one of units) if (one.waiters > 0 && !one.isHeld) expect(admit).toContain(one);
        expect(new Set(evict).size).toBe(evict.length);
      }),
    );
  });
});

describe('partsOf', () => {
  it.each([
    [0, 100, [0]],
    [50, 100, [0]],
    [51, 100, [0]],
    [130 * 1024 ** 2, 200 * 1024 ** 2, [0, 64 * 1024 ** 2, 128 * 1024 ** 2]],
  ])('of %i bytes with a limit of %i', (sizeBytes, limitBytes, offsets) => {
    expect(partsOf(sizeBytes, limitBytes).offsets).toEqual(offsets);
  });
});
