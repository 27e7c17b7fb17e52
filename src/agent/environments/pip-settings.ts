import { join } from 'node:path';
import { parse } from 'ini';
import { readIfThere } from '../../lib/files.ts';
import type { Env } from './plan.ts';

/** Settings of pip that say where packages come from, with what uv calls them. */
const NAMES: readonly (readonly [pip: string, uv: string])[] = [
  ['index-url', 'UV_DEFAULT_INDEX'],
  ['extra-index-url', 'UV_INDEX'],
  ['find-links', 'UV_FIND_LINKS'],
  ['trusted-host', 'UV_INSECURE_HOST'],
  ['cert', 'SSL_CERT_FILE'],
  ['proxy', 'ALL_PROXY'],
];

/**
 * What a person has told pip about package indexes, as variables for uv, which reads no pip.conf: a package is found
 * by uv where pip finds it. Whoever has told uv itself of an index (UV_*, uv.toml) has said it all: nothing is added.
 */
export async function pipSettingsForUv(env: Env): Promise<Env> {
  if (await knowsItsIndex(env)) return {};
  const settings: Record<string, string> = {};
  for (const file of pipFiles(env)) {
    const text = await readIfThere(file).catch(() => null);
    if (text === null) continue;
    const joined = text.replace(/\r?\n[ \t]+(?=[^\s#;])/g, ' '); // a value may go on in indented lines
    const { global, install } = parse(joined) as Record<string, Record<string, unknown> | undefined>;
    for (const [name, value] of Object.entries({ ...global, ...install })) settings[name] = String(value);
  }
  return Object.fromEntries(
    NAMES.flatMap(([pip, uv]) => {
      const value = env[`PIP_${pip.toUpperCase().replaceAll('-', '_')}`] || settings[pip];
      return value === undefined || value === '' ? [] : [[uv, asUvList(uv, value)]];
    }),
  );
}

async function knowsItsIndex(env: Env): Promise<boolean> {
  const told = ['UV_DEFAULT_INDEX', 'UV_INDEX_URL', 'UV_INDEX', 'UV_CONFIG_FILE', 'UV_NO_INDEX'];
  if (told.some((name) => env[name])) return true;
  const files = ['/etc/uv/uv.toml', join(configHome(env), 'uv', 'uv.toml')];
  const texts = await Promise.all(files.map((file) => readIfThere(file).catch(() => null)));
  return texts.some((text) => text !== null && /index/.test(text));
}

/** In the order in which a later one counts more. */
function pipFiles(env: Env): readonly string[] {
  const own = env['PIP_CONFIG_FILE'];
  return [
    '/etc/pip.conf',
    join(env['HOME'] ?? '/', '.pip', 'pip.conf'),
    join(configHome(env), 'pip', 'pip.conf'),
    ...(own === undefined ? [] : [own]),
  ];
}

function configHome(env: Env): string {
  return env['XDG_CONFIG_HOME'] || join(env['HOME'] ?? '/', '.config');
}

/** pip separates by white space, uv find-links by commas. */
function asUvList(name: string, value: string): string {
  const parts = value.trim().split(/\s+/);
  return parts.join(name === 'UV_FIND_LINKS' ? ',' : ' ');
}
