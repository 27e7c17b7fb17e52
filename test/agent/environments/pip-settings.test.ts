import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { pipSettingsForUv } from '../../../src/agent/environments/pip-settings.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** A home folder whose pip.conf says this; the system's own pip.conf, where there is one, counts less. */
function homeWith(pipConf: string): { readonly HOME: string } {
  const home = tempDir();
  mkdirSync(join(home, '.config', 'pip'), { recursive: true });
  writeFileSync(join(home, '.config', 'pip', 'pip.conf'), pipConf);
  return { HOME: home };
}

const CONF = `[global]
index-url = https://packages.example/simple
extra-index-url =
    https://more.example/simple
    https://most.example/simple
[install]
find-links = /opt/wheels /opt/more
`;

test('uv is told of the indexes that pip knows', async () => {
  expect(await pipSettingsForUv(homeWith(CONF))).toMatchObject({
    UV_DEFAULT_INDEX: 'https://packages.example/simple',
    UV_INDEX: 'https://more.example/simple https://most.example/simple',
    UV_FIND_LINKS: '/opt/wheels,/opt/more',
  });
});

test('a variable of pip counts more than its files', async () => {
  const env = { ...homeWith(CONF), PIP_INDEX_URL: 'https://mine.example/simple' };
  expect(await pipSettingsForUv(env)).toMatchObject({ UV_DEFAULT_INDEX: 'https://mine.example/simple' });
});

test('whoever has told uv of an index has said it all', async () => {
  const home = homeWith(CONF);
  expect(await pipSettingsForUv({ ...home, UV_INDEX_URL: 'https://uv.example/simple' })).toEqual({});
  mkdirSync(join(home.HOME, '.config', 'uv'));
  writeFileSync(join(home.HOME, '.config', 'uv', 'uv.toml'), '[[index]]\nurl = "https://uv.example"\n');
  expect(await pipSettingsForUv(home)).toEqual({});
});
