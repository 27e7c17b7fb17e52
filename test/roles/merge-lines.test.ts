import { expect, it } from 'vitest';
import { merged } from '../../src/roles/merge-lines.ts';

const CHUNK = Buffer.alloc(64 * 1024, '.');

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
