import { expect, it } from 'vitest';
import { Rounds } from '../../src/lib/rounds.ts';

it('goes round again and again, never twice at once, and ends with the round that is under way', async () => {
  let begun = 0;
  let ended = 0;
  let most = 0;
  let goOn: () => void = () => undefined;
  const third = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const rounds = new Rounds(1, async () => {
    begun += 1;
    most = Math.max(most, begun - ended);
    if (begun === 3) goOn();
    await new Promise<void>((resolve) => setImmediate(resolve));
    ended += 1;
  });
  rounds.start();
  rounds.start();
  await third;
  await rounds.stop();
  expect(most).toBe(1);
  expect(ended).toBe(begun);
  await rounds.stop();
});
