import { describe, expect, it } from 'vitest';
import { mapConcurrently } from '../../src/lib/concurrency.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('mapConcurrently', () => {
  it('keeps the order and never works on more than the limit', async () => {
    let inWork = 0;
    let most = 0;
    const items = Array.from({ length: 50 }, (_, index) => index);
    const results = await mapConcurrently(items, 4, async (item) => {
      inWork += 1;
      most = Math.max(most, inWork);
      for (let turns = item % 5; turns >= 0; turns -= 1) await turn();
      inWork -= 1;
      return item * 2;
    });
    expect(results).toEqual(items.map((item) => item * 2));
    expect(most).toBe(4);
  });

  it('throws the first failure after what was begun has ended, and begins nothing more', async () => {
    const ended: number[] = [];
    const work = async (item: number): Promise<void> => {
      if (item === 1) throw new Error('one');
      await turn();
      ended.push(item);
    };
    await expect(mapConcurrently([0, 1, 2, 3, 4, 5], 2, work)).rejects.toThrow('one');
    expect(ended).toEqual([0]);
  });

  it('maps nothing to nothing', async () => {
    expect(await mapConcurrently([], 3, async () => 1)).toEqual([]);
  });
});
