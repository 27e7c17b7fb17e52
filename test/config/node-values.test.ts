import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { NodeValues } from '../../src/config/node-values.ts';
import { tempDir } from '../support/temp-dir.ts';
import { compiled, mistakesOf } from './project-fixture.ts';

const ECHO = '[algopkg.Echo]\nbackend = EchoBackend\n';
const FORMS = '`${NAME}` and `${file:/PATH}`';
const LITERAL = 'for a plain "${" write "$${"';

const values = new NodeValues({ DB: 'pg://u:s3cret@db', EMPTY: '' }, 'n-1');

function environment(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return values.environmentOf({ name: 'Echo', env });
}

describe('values that only the node has', () => {
  it.each([
    ['${DB}', 'pg://u:s3cret@db'],
    ['<${EMPTY}|${DB}>', '<|pg://u:s3cret@db>'],
    ['$${DB}', '${DB}'],
    ['$$${DB}', '$${DB}'],
    ['$DB $ $$ {DB} }', '$DB $ $$ {DB} }'],
  ])('%s becomes %s', (text, expected) => expect(environment({ A: text })).toEqual({ A: expected }));

  it('reads files, without the line end at their end', () => {
    const file = join(tempDir(), 'key');
    writeFileSync(file, 'one\ntwo\n\n');
    expect(environment({ KEY: `<\${file:${file}}>` })).toEqual({ KEY: '<one\ntwo\n>' });
  });

  it('looks into the texts of a configuration, not at the names of its fields', () => {
    const userConfig = { url: '${DB}', list: ['a', { $x: '${EMPTY}' }], n: 1, none: null };
    expect(values.configOf({ name: 'Echo', userConfig })).toEqual({
      url: 'pg://u:s3cret@db',
      list: ['a', { $x: '' }],
      n: 1,
      none: null,
    });
  });

  it('says which variable is missing, where and for what, and no value', () => {
    const read = () => values.configOf({ name: 'Echo.fast', userConfig: ['${DB}', '${NO_SUCH}'] });
    expect(read).toThrow(
      /^\[algopkg\.Echo\.fast\] user_config: the variable NO_SUCH is not set on node n-1\. Start the node with it/,
    );
    expect(read).not.toThrow(/s3cret/);
  });

  it('says which file cannot be used', () => {
    const dir = tempDir();
    expect(() => environment({ A: `\${file:${dir}/none}` })).toThrow(
      `[algopkg.Echo] env.A: the file ${dir}/none cannot be used on node n-1: it is not there.`,
    );
    expect(() => environment({ A: `\${file:${dir}}` })).toThrow('EISDIR');
    writeFileSync(join(dir, 'large'), 'x'.repeat(60_001));
    expect(() => environment({ A: `\${file:${dir}/large}` })).toThrow('it has 60001 bytes');
    writeFileSync(join(dir, 'binary'), 'a\0b');
    expect(() => environment({ A: `\${file:${dir}/binary}` })).toThrow('it is no text');
  });

  it('refuses a configuration that no frame carries', () => {
    const large = new NodeValues({ X: 'x'.repeat(40_000) }, 'n-1');
    expect(() => large.configOf({ name: 'Echo', userConfig: ['${X}', '${X}'] })).toThrow(
      'with what its references hold on node n-1 it has more than 60000 bytes',
    );
  });
});

describe('conf.ini with references', () => {
  it('keeps them as they are written', async () => {
    const { deployments } = await compiled(
      `${ECHO}env.KEY = \${KEY}\nuser_config = {"url": "\${file:/run/secrets/db}", "plain": "$\${x}"}`,
    );
    expect(deployments[0]).toMatchObject({
      env: { KEY: '${KEY}' },
      userConfig: { url: '${file:/run/secrets/db}', plain: '$${x}' },
    });
  });

  const misplaced = (value: string) =>
    `expected a value that does not depend on a node, found "${value}"; only env.NAME and user_config may hold ${FORMS}`;
  const table: readonly [line: string, message: string][] = [
    ['route = ${ROUTE}', `route: ${misplaced('${ROUTE}')}`],
    ['replicas = ${N}', `replicas: ${misplaced('${N}')}`],
    ['model = a${N}.bin', `model: ${misplaced('a${N}.bin')}`],
    [
      'env.A = ${A',
      `env.A: expected references such as ${FORMS}, found "\${A"; the brace is not closed; ${LITERAL}`,
    ],
    [
      'env.A = ${a b}',
      `env.A: expected references such as ${FORMS}, found "\${a b}"; references are ${FORMS}; ${LITERAL}`,
    ],
    [
      'env.A = ${file:key}',
      `env.A: expected references such as ${FORMS}, found "\${file:key}"; the path of a file is absolute: \${file:/run/secrets/key}`,
    ],
    [
      'env.A = ${MODELSERVE_TOKEN}',
      `env.A: expected references such as ${FORMS}, found "\${MODELSERVE_TOKEN}"; modelserve's own variables are given to no backend`,
    ],
    [
      'user_config = {"a": ["${}"]}',
      `user_config: expected references such as ${FORMS}, found "\${}"; references are ${FORMS}; ${LITERAL}`,
    ],
    [
      'user_config = {"${A}": 1}',
      `user_config: expected references such as ${FORMS}, found "\${A}"; only values may hold references, not names`,
    ],
  ];
  it.each(table)('%s', async (line, message) => {
    expect(await mistakesOf(`${ECHO}${line}`)).toEqual([`conf.ini:3 [algopkg.Echo] ${message}`]);
  });
});
