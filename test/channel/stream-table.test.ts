import fc from 'fast-check';
import { expect, it } from 'vitest';
import { StreamTable } from '../../src/channel/stream-table.ts';

it('behaves like a Map, whatever the numbers', () => {
  // few distinct numbers, many of which share their low bits, so that probing, moving up and growing all happen
  const number = fc.oneof(
    fc.integer({ min: 1, max: 200 }),
    fc.nat(4).map((k) => 64 * k + 1),
    fc.constantFrom(0xffff_ffff, 0xffff_ffff - 64),
  );
  const step = fc.record({ isSet: fc.boolean(), number });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new StreamTable<object>();
      const model = new Map<number, object>();
      for (const { isSet, number } of steps) {
        const entry = {};
        if (isSet) {
          table.set(number, entry);
          model.set(number, entry);
        } else {
          table.delete(number);
          model.delete(number);
        }
        expect(table.size).toBe(model.size);
        expect(table.get(number)).toBe(model.get(number));
      }
      for (const [known, entry] of model) expect(table.get(known)).toBe(entry);
      expect(new Set(table.values())).toEqual(new Set(model.values()));
    }),
  );
});
