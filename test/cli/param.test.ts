import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ExitCode } from '../../src/cli/exit.ts';
import { readParam } from '../../src/cli/param.ts';
import { tempDir } from '../support/temp-dir.ts';

it.each(['{}', '{"text": "ä"}', '[1, 2]', '"text"', '3', 'null'])('%s goes as it is', async (text) => {
  expect(await readParam(text)).toBe(text);
});

it('@FILE is what the file holds', async () => {
  const file = join(tempDir(), 'body.json');
  writeFileSync(file, '{"text": "from a file"}\n');
  expect(await readParam(`@${file}`)).toBe('{"text": "from a file"}\n');
});

it.each([
  ['text', /not JSON.*Quote it/],
  ['', /not JSON/],
  ['@/nowhere/body.json', /cannot read the file of --param.*\/nowhere\/body\.json/],
])('%j is wrong usage', async (param, message) => {
  await expect(readParam(param)).rejects.toMatchObject({
    message: expect.stringMatching(message),
    data: { exitCode: ExitCode.usage },
  });
});
