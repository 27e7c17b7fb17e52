import { describe, expect, it } from 'vitest';
import { Renewable } from '../../../../src/models/sources/credentials/renewable.ts';

/** Credentials that count how often they were got. @param livesMs null: until they are refused */
function counted(livesMs: (count: number) => number | null) {
  let count = 0;
  const renewable = new Renewable(async () => {
    count += 1;
    const lives = livesMs(count);
    return { value: `key ${count}`, endsAtMs: lives === null ? null : Date.now() + lives };
  });
  return { renewable, got: () => count };
}

describe('credentials', () => {
  it('are got once for all who want them at the same time, and while they hold', async () => {
    const { renewable, got } = counted(() => 3_600_000);
    expect(renewable.held).toBeNull();
    const all = await Promise.all([renewable.get(), renewable.get(), renewable.get()]);
    expect([...all, await renewable.get(), renewable.held]).toEqual(Array(5).fill('key 1'));
    expect(got()).toBe(1);
  });

  it('are got anew when they end within a minute', async () => {
    const { renewable } = counted((count) => (count === 1 ? 59_000 : 120_000));
    expect([await renewable.get(), await renewable.get(), await renewable.get()]).toEqual([
      ...['key 1', 'key 2', 'key 2'],
    ]);
  });

  it('are got anew once for all whom a server has refused with the same', async () => {
    const { renewable, got } = counted(() => null);
    await renewable.get();
    const askedAtMs = performance.now();
    const answers = await Promise.all([renewable.renew(askedAtMs), renewable.renew(askedAtMs)]);
    expect(answers).toEqual([true, true]);
    expect(await renewable.renew(askedAtMs)).toBe(true); // who was refused with the first, late
    expect(got()).toBe(2);
  });

  it('are not worth another request when they are the same as before', async () => {
    const renewable = new Renewable(async () => ({ value: 'same', endsAtMs: null }));
    await renewable.get();
    expect(await renewable.renew(performance.now())).toBe(false);
  });

  it('are asked for again after they could not be had', async () => {
    let isThere = false;
    const renewable = new Renewable(async () => {
      if (!isThere) throw new Error('away');
      return { value: 'key', endsAtMs: null };
    });
    await expect(renewable.get()).rejects.toThrow('away');
    isThere = true;
    expect(await renewable.get()).toBe('key');
  });
});
