import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FillOrder } from '../../../src/models/filling/fill-order.ts';

/** Takes all that is given out. */
function drain(order: FillOrder<string>, hasRoom = true): readonly string[] {
  const turns: string[] = [];
  for (let turn = order.take(hasRoom); turn !== null; turn = order.take(hasRoom))
    turns.push(`${turn.file}${turn.chunk}`);
  return turns;
}

function orderOf(files: Readonly<Record<string, number>>): FillOrder<string> {
  const order = new FillOrder<string>();
  for (const [file, chunks] of Object.entries(files)) order.add(file, chunks);
  return order;
}

describe('what is fetched next', () => {
  it.each<[string, (order: FillOrder<string>) => void, string]>([
    ['as it was added', () => undefined, 'a0 a1 b0 b1 c0'],
    ['what is asked for comes first', (order) => order.ask('c', false), 'c0 a0 a1 b0 b1'],
    [
      'in the order of the calls, the first of which counts',
      (order) => {
        order.ask('c', false);
        order.ask('b', false);
        order.ask('c', true);
      },
      'c0 b0 b1 a0 a1',
    ],
    [
      'chunks that are waited for come before files, as they were asked for',
      (order) => {
        order.ask('b', true);
        order.want('c', 0, 0);
        order.want('a', 1, 1);
      },
      'c0 a1 b0 b1 a0',
    ],
    [
      'a chunk that was taken is not given out again, however often it is wanted',
      (order) => {
        order.take(true);
        order.want('a', 0, 1);
        order.want('a', 0, 1);
      },
      'a1 b0 b1 c0',
    ],
    [
      'nothing of a file that was dropped',
      (order) => {
        order.want('a', 0, 1);
        order.ask('a', true);
        order.drop('a');
        order.ask('a', true);
      },
      'b0 b1 c0',
    ],
  ])('%s', (_, change, expected) => {
    const order = orderOf({ a: 2, b: 2, c: 1 });
    change(order);
    expect(drain(order).join(' ')).toBe(expected);
  });

  it('is what somebody waits for, where there is no room', () => {
    const order = orderOf({ a: 1, b: 1, c: 1, d: 2 });
    order.ask('b', false);
    order.ask('c', true);
    order.want('d', 1, 1);
    expect(drain(order, false)).toEqual(['d1', 'c0']);
    expect(drain(order)).toEqual(['b0', 'a0', 'd0']);
  });

  it('is not what is there already', () => {
    const order = new FillOrder<string>();
    order.add('a', 3, (chunk) => chunk === 1);
    order.want('a', 0, 2);
    expect(drain(order)).toEqual(['a0', 'a2']);
  });

  it('is every chunk once, whatever is asked for meanwhile', () => {
    const step = fc.record({
      file: fc.integer({ min: 0, max: 4 }),
      what: fc.constantFrom('want', 'ask', 'wait', 'take', 'take without room'),
      from: fc.integer({ min: 0, max: 6 }),
      to: fc.integer({ min: 0, max: 6 }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 5, maxLength: 5 }),
        fc.array(step),
        (counts, steps) => {
          const order = new FillOrder<number>();
          for (const [file, count] of counts.entries()) order.add(file, count);
          const turns: string[] = [];
          const take = (hasRoom: boolean): boolean => {
            const turn = order.take(hasRoom);
            if (turn !== null) turns.push(`${turn.file}:${turn.chunk}`);
            return turn !== null;
          };
          for (const { file, what, from, to } of steps) {
            if (what === 'want') order.want(file, from, to);
            else if (what === 'ask' || what === 'wait') order.ask(file, what === 'wait');
            else take(what === 'take');
          }
          while (take(true));
          const all = counts.flatMap((count, file) =>
            Array.from({ length: count }, (_, chunk) => `${file}:${chunk}`),
          );
          expect([...turns].sort()).toEqual(all.sort());
        },
      ),
    );
  });
});
