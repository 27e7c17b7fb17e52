import { expect, it } from 'vitest';
import { byTime, type LineSource, merged } from '../../src/roles/merge-lines.ts';

const CHUNK = Buffer.alloc(64 * 1024, '.');

/** Sources that go on for ever, and how many of them are open. */
function endless(count: number): { readonly sources: readonly LineSource[]; readonly open: () => number } {
  let open = 0;
  const sources = Array.from({ length: count }, (_, index): LineSource => {
    async function* lines(): AsyncGenerator<Buffer> {
      open += 1;
      try {
        for (let line = 0; ; line += 1) yield Buffer.from(`${index} ${line}\n`);
      } finally {
        open -= 1;
      }
    }
    return { open: lines, mark: (line) => line };
  });
  return { sources, open: () => open };
}

it.each([
  ['as they come', merged],
  ['by time', byTime],
])('closes all sources when nobody reads lines %s any more', async (_what, of) => {
  const { sources, open } = endless(3);
  const lines = of(sources, new AbortController().signal);
  expect((await lines.next()).value).toMatch(/^\d 0\n$/);
  expect(open()).toBe(3); // each with a portion that nobody has taken
  await lines.return(undefined);
  await expect.poll(open).toBe(0);
});

it('closes all sources when the signal ends lines by time', async () => {
  const { sources, open } = endless(2);
  const gone = new AbortController();
  const lines = byTime(sources, gone.signal);
  await lines.next();
  gone.abort();
  expect((await lines.next()).done).toBe(true);
  await expect.poll(open).toBe(0);
});

it('gives out what a program writes without ever ending its line, in parts', async () => {
  const source = {
    open: async function* () {
      for (;;) yield CHUNK;
    },
    mark: (line: string) => line,
  };
  const lines = merged([source], new AbortController().signal);
  for (let part = 0; part < 3; part += 1) {
    const { value = '' } = await lines.next();
    expect(value).toHaveLength(1024 ** 2 + 1);
  }
  await lines.return(undefined);
});
