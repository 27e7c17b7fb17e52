import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readDependencyFiles, readProjectDependencies } from '../../src/packages/dependency-files.ts';
import { tempDir } from '../support/temp-dir.ts';

function packageOf(files: Readonly<Record<string, string>>): string {
  const folder = join(tempDir(), 'algopkg', 'Echo');
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

const project = (lines: string): string => `[project]\nname = "echo"\n${lines}\n`;
const NPM = JSON.stringify({ dependencies: { zod: '4' } });

test.each([
  [{}, { conda: null, python: null, npm: null }],
  [{ 'environment.yaml': '' }, { conda: 'environment.yaml' }],
  [
    { 'requirements.txt': '', 'pyproject.toml': project('dependencies = ["a"]') },
    { python: 'requirements.txt' },
  ],
  [{ 'pyproject.toml': project('dependencies = ["a"]') }, { python: 'pyproject.toml' }],
  [{ 'pyproject.toml': '[tool.ruff]\nline-length = 100\n' }, { python: null }],
  [{ 'pyproject.toml': project('dependencies = []') }, { python: null }],
  [{ 'package.json': NPM }, { npm: 'package.json' }],
  [{ 'package.json': NPM, 'yarn.lock': '', 'pnpm-lock.yaml': '' }, { npm: 'pnpm-lock.yaml' }],
  [{ 'package.json': '{"name": "x"}', 'package-lock.json': '{}' }, { npm: null }],
])('%o', async (files, expected) => {
  expect(await readDependencyFiles(packageOf(files as Record<string, string>))).toMatchObject(expected);
});

test('a pyproject.toml gives its requirements, markers and all', async () => {
  const lines = 'dependencies = [\n  "numpy>=1.20; python_version < \'3.9\'", # old\n  "six",\n]';
  expect(await readProjectDependencies(packageOf({ 'pyproject.toml': project(lines) }))).toEqual([
    "numpy>=1.20; python_version < '3.9'",
    'six',
  ]);
});

test.each([
  [{ 'pyproject.toml': '[project\n' }, /algopkg\/Echo\/pyproject.toml cannot be read: /],
  [
    { 'pyproject.toml': project('dynamic = ["dependencies"]') },
    /dynamic; write them into a requirements.txt/,
  ],
  [{ 'package.json': '[' }, /algopkg\/Echo\/package.json cannot be read: /],
])('%o is refused by name', async (files, message) => {
  const refused = readDependencyFiles(packageOf(files as Record<string, string>));
  await expect(refused).rejects.toMatchObject({
    code: 'DEPENDENCIES_UNREADABLE',
    message: expect.stringMatching(message),
  });
});
