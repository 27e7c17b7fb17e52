import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type NamedModel, showModels } from '../../../src/agent/content/model-view.ts';
import { tempDir } from '../../support/temp-dir.ts';

function modelWith(text: string): NamedModel {
  const root = tempDir();
  writeFileSync(join(root, 'w.bin'), text);
  return { name: 'm', content: { root, files: [{ path: 'w.bin' }] } };
}

const shown = (folder: string): string => readFileSync(join(folder, 'm/w.bin'), 'utf8');

test('a folder that one replica was given stays where it is, however many others ask meanwhile', async () => {
  const models = [modelWith('one')];
  for (let round = 0; round < 20; round += 1) {
    const folder = join(tempDir(), 'Model_ZOO');
    const given = Array.from({ length: 8 }, async () => {
      await showModels(folder, models);
      return statSync(folder).ino;
    });
    expect(new Set(await Promise.all(given))).toEqual(new Set([statSync(folder).ino]));
    expect(shown(folder)).toBe('one');
  }
});

test('what is there and is not right makes way: another content, a file', async () => {
  const parent = tempDir();
  const folder = join(parent, 'Model_ZOO');
  writeFileSync(folder, 'no folder');
  await showModels(folder, [modelWith('one')]);
  expect(shown(folder)).toBe('one');
  await showModels(folder, [modelWith('two')]);
  expect(shown(folder)).toBe('two');
});

test('an empty folder in its place is filled', async () => {
  const folder = join(tempDir(), 'Model_ZOO');
  mkdirSync(folder);
  await showModels(folder, [modelWith('one')]);
  expect(shown(folder)).toBe('one');
});
