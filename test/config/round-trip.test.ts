import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse, safe } from 'ini';
import { expect, it } from 'vitest';
import type { DeploymentSpec } from '../../src/cluster/spec/types.ts';
import { compileConf } from '../../src/config/compile.ts';
import { renderFinding } from '../../src/config/finding.ts';
import { readIniLines } from '../../src/config/ini-lines.ts';
import { findJsonMistake } from '../../src/config/json-text.ts';
import { DEPLOYMENT_KEYS, type Key } from '../../src/config/schema.ts';
import { makeProject, PACKAGES } from './project-fixture.ts';
import { anySpec } from './specs.ts';

/** Writes a spec as the section that says it. */
function print(spec: DeploymentSpec): string {
  const keys = Object.entries<Key<unknown>>(DEPLOYMENT_KEYS).map(([field, key]) => {
    const text = key.form.write(spec[field as keyof DeploymentSpec]);
    return `${key.name} = ${field === 'userConfig' ? text : safe(text)}`;
  });
  const variables = Object.entries(spec.env).map(([name, value]) => `env.${name} = ${JSON.stringify(value)}`);
  return `[algopkg.${spec.name}]\n${[...keys, ...variables].join('\n')}\n`;
}

it('compiles what is printed to what was printed', async () => {
  const folder = await makeProject(PACKAGES);
  const confPath = join(folder, 'conf.ini');
  await fc.assert(
    fc.asyncProperty(anySpec, async (spec) => {
      await writeFile(confPath, print(spec));
      const result = await compileConf(confPath);
      expect(result.ok ? result.conf.deployments : result.mistakes.map(renderFinding)).toEqual([spec]);
    }),
    { numRuns: 100 },
  );
});

const fragment = fc.oneof(
  fc.constantFrom(
    '[MODEL SERVE]',
    '[algopkg.Echo]',
    '[algopkg.Echo.b]',
    '[',
    ']',
    '=',
    '\n',
    '\r\n',
    '#',
    ';',
  ),
  fc.constantFrom(
    '"',
    "'",
    '\\',
    ' ',
    '\0',
    'backend = EchoBackend',
    'user_config = ',
    '{"a": ',
    '}',
    '@conf.ini',
  ),
  fc.constantFrom(
    'env.',
    'model = ',
    '..',
    '/',
    'route = ',
    'replicas = ',
    '1',
    '.',
    '__proto__',
    'constructor = ',
  ),
  fc.string({ unit: 'binary', maxLength: 6 }),
);

it('never throws, whatever the text, and always says where', async () => {
  const folder = await makeProject(PACKAGES);
  const confPath = join(folder, 'conf.ini');
  await fc.assert(
    fc.asyncProperty(fc.array(fragment, { maxLength: 30 }), async (fragments) => {
      const text = fragments.join('');
      await writeFile(confPath, text);
      const result = await compileConf(confPath);
      if (result.ok) return;
      expect(result.mistakes).not.toEqual([]);
      const lines = text.split(/\r\n|\n|\r/).length;
      for (const { line } of result.mistakes) expect(line).toSatisfy((at: number) => at >= 1 && at <= lines);
    }),
    { numRuns: 300 },
  );
});

it('reads what it accepts as the ini package does', () => {
  const value = fc.stringMatching(/^[ -~äß]{0,12}$/);
  const entry = fc.tuple(fc.stringMatching(/^[a-z]{1,3}$/), value);
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
      const text = `[section]\n${entries.map(([key, text]) => `${key} = ${text}`).join('\n')}\n`;
      const { sections, mistakes } = readIniLines(text);
      const isQuoted = entries.some(([, text]) => /["']/.test(text));
      if (mistakes.length > 0 || isQuoted) return;
      const ours = Object.fromEntries((sections[0]?.entries ?? []).map((each) => [each.key, each.value]));
      const theirs = Object.entries(parse(text)['section'] as object).map(([key, read]) => [
        key,
        String(read),
      ]);
      expect(ours).toEqual(Object.fromEntries(theirs));
    }),
  );
});

it('finds a mistake in a text exactly where JSON.parse does', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"',
    '1',
    '-',
    '0.5e3',
    '01',
    'true',
    'nul',
    ' ',
    '\n',
    '\\u00e9',
    '\t',
  );
  const text = fc.oneof(
    fc.json(),
    fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      let isJson = true;
      try {
        JSON.parse(candidate);
      } catch {
        isJson = false;
      }
      expect(findJsonMistake(candidate) === null).toBe(isJson);
    }),
    { numRuns: 2000 },
  );
});

it('takes JSON of any depth without exhausting the stack', () => {
  expect(findJsonMistake('['.repeat(100) + ']'.repeat(100))).toBeNull();
  expect(findJsonMistake('['.repeat(200_000))).toEqual({ offset: 101, expected: 'no more than 100 levels' });
});

it('a text of more lines than anybody writes is refused as a whole, in one sentence', () => {
  const lines = Array.from({ length: 20_001 }, (_, count) => `key_${count} = 1`);
  const { sections, mistakes } = readIniLines(lines.join('\n'));
  expect([sections, mistakes]).toMatchObject([
    [],
    [{ expected: 'at most 20000 lines', found: '20001 lines' }],
  ]);
  expect(mistakes).toHaveLength(1);
});
