import { expect, it } from 'vitest';
import { Closers } from '../../src/roles/closers.ts';

function closers() {
  const done: string[] = [];
  const problems: string[] = [];
  const all = new Closers((problem) => problems.push(problem));
  const add = (name: string): void => all.add(async (how) => void done.push(`${name} ${how.keepReplicas}`));
  return { all, add, done, problems };
}

it('ends in reverse order, once, whoever asks and how often', async () => {
  const { all, add, done } = closers();
  add('store');
  add('controller');
  add('agent');
  expect(all.hasRun).toBe(false);
  const first = all.run({ keepReplicas: true });
  expect(all.hasRun).toBe(true);
  await Promise.all([first, all.run({ keepReplicas: false }), all.ended]);
  expect(done).toEqual(['agent true', 'controller true', 'store true']);
});

it('ends the rest when a part does not end, and says which', async () => {
  const { all, add, done, problems } = closers();
  add('store');
  all.add(async () => {
    throw new Error('the agent hangs');
  });
  add('control');
  await all.run({ keepReplicas: false });
  await all.ended;
  expect(done).toEqual(['control false', 'store false']);
  expect(problems).toEqual(['not everything ended in order: the agent hangs']);
});

it('ends what starts while the rest ends, and after it', async () => {
  const { all, add, done } = closers();
  add('store');
  all.add(async () => add('late'));
  await all.run({ keepReplicas: false });
  expect(done).toEqual(['late false', 'store false']);
  add('later');
  expect(done).toEqual(['late false', 'store false', 'later false']);
});
