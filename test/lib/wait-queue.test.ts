import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Queueable, WaitQueue } from '../../src/lib/wait-queue.ts';

interface Item extends Queueable<Item> {}

it('behaves like an array', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constantFrom('back', 'front', 'shift'), at: fc.constant(0) }),
    fc.record({ do: fc.constant('remove'), at: fc.nat(20) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new WaitQueue<Item>();
      const model: Item[] = [];
      for (const { do: action, at } of steps) {
        const item: Item = { place: null };
        if (action === 'back') {
          queue.pushBack(item);
          model.push(item);
        } else if (action === 'front') {
          queue.pushFront(item);
          model.unshift(item);
        } else if (action === 'shift') expect(queue.shift()).toBe(model.shift() ?? null);
        else {
          const victim = model[at] ?? { place: null };
          expect(queue.remove(victim)).toBe(model.includes(victim));
          if (model.includes(victim)) model.splice(model.indexOf(victim), 1);
        }
        expect(queue.size).toBe(model.length);
        expect(queue.first).toBe(model[0] ?? null);
        expect([...queue]).toEqual(model);
      }
      expect(queue.drain()).toEqual(model);
      expect(queue.size).toBe(0);
    }),
  );
});
