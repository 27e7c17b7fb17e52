import { expect, test } from 'vitest';
import {
  chooseEnvironment,
  describeEnvironment,
  parseEnvironment,
} from '../../../src/cluster/environments/choose.ts';
import type { DependencyFiles, EnvironmentChoice } from '../../../src/cluster/environments/types.ts';

const NONE: DependencyFiles = { conda: null, python: null, npm: null };

test.each([
  ['venv', { kind: 'venv' }],
  ['conda:algo-py36.2', { kind: 'conda-named', name: 'algo-py36.2' }],
  ['python:/opt/my python/bin/python', { kind: 'path', python: '/opt/my python/bin/python' }],
  ['conda:', null],
  ['conda:../x', null],
  ['python:bin/python', null],
  ['docker', null],
  ['Venv', null],
])('environment = %s', (text, wish) => {
  expect(parseEnvironment(text)).toEqual(wish);
});

const table: readonly (readonly [string | null, Partial<DependencyFiles>, EnvironmentChoice, string])[] = [
  [null, {}, { kind: 'system' }, 'system'],
  [null, { python: 'pyproject.toml' }, { kind: 'venv', file: 'pyproject.toml' }, 'venv (pyproject.toml, x)'],
  [
    null,
    { python: 'requirements.txt', conda: 'environment.yaml' },
    { kind: 'conda', file: 'environment.yaml' },
    'conda (environment.yaml, x)',
  ],
  ['venv', {}, { kind: 'venv', file: null }, 'venv (empty, x)'],
  [
    'venv',
    { conda: 'environment.yml', python: 'requirements.txt' },
    { kind: 'venv', file: 'requirements.txt' },
    '',
  ],
  ['system', { python: 'requirements.txt' }, { kind: 'system' }, 'system (x)'],
  ['conda', {}, { kind: 'conda', file: 'environment.yml' }, ''],
  ['conda:a', { python: 'requirements.txt' }, { kind: 'conda-named', name: 'a' }, 'conda:a (x)'],
  ['python:/p', { conda: 'environment.yml' }, { kind: 'path', python: '/p' }, 'python:/p (x)'],
];

test.each(table)('%s with %o is %o', (wished, files, choice, words) => {
  expect(chooseEnvironment('python', wished, { ...NONE, ...files })).toEqual(choice);
  const details = words.includes('x)') ? ['x'] : [];
  if (words !== '') expect(describeEnvironment(choice, details)).toBe(words);
});

test('JavaScript has npm, whatever else lies in its folder', () => {
  const files: DependencyFiles = { conda: 'environment.yml', python: 'requirements.txt', npm: 'yarn.lock' };
  expect(chooseEnvironment('javascript', null, files)).toEqual({ kind: 'npm', file: 'yarn.lock' });
  expect(describeEnvironment(chooseEnvironment('javascript', 'npm', NONE))).toBe('npm (no dependencies)');
});
