import type { Language } from '../spec/types.ts';
import type { DependencyFiles, EnvironmentChoice, EnvironmentWish } from './types.ts';

/** Files that conda environments are made from, the usual name first. */
export const CONDA_FILES: readonly string[] = ['environment.yml', 'environment.yaml'];

const CONDA_NAME = /^conda:([\w][\w.-]*)$/;
const PATH = /^python:(\/.+)$/;

/** @returns null for a text that is no environment */
export function parseEnvironment(text: string): EnvironmentWish | null {
  if (text === 'venv' || text === 'conda' || text === 'system' || text === 'npm') return { kind: text };
  const name = CONDA_NAME.exec(text)?.[1];
  if (name !== undefined) return { kind: 'conda-named', name };
  const python = PATH.exec(text)?.[1];
  return python === undefined ? null : { kind: 'path', python };
}

/**
 * What a backend runs in: what conf.ini asks for, else by the files of its package. The default that depends on nodes
 * (a conda environment with the package's name) is written into the spec when it is planned, see settleEnvironment.
 * @param wished `environment` of conf.ini; null: not given
 */
export function chooseEnvironment(
  language: Language,
  wished: string | null,
  files: DependencyFiles,
): EnvironmentChoice {
  if (language === 'javascript') return { kind: 'npm', file: files.npm };
  const wish = wished === null ? null : parseEnvironment(wished);
  switch (wish?.kind) {
    case 'venv':
      return { kind: 'venv', file: files.python };
    case 'conda':
      return { kind: 'conda', file: files.conda ?? 'environment.yml' };
    case 'conda-named':
    case 'path':
      return wish;
    case 'system':
      return { kind: 'system' };
    default:
      return byFiles(files);
  }
}

function byFiles({ conda, python }: DependencyFiles): EnvironmentChoice {
  if (conda !== null) return { kind: 'conda', file: conda };
  return python === null ? { kind: 'system' } : { kind: 'venv', file: python };
}

/**
 * A choice as a plan shows it: `venv (requirements.txt, Python 3.11, uv)`.
 * @param details what is known beside it, most telling first
 */
export function describeEnvironment(choice: EnvironmentChoice, details: readonly string[] = []): string {
  const { name, own } = wordsOf(choice);
  const parts = [...own, ...details];
  return parts.length === 0 ? name : `${name} (${parts.join(', ')})`;
}

function wordsOf(choice: EnvironmentChoice): { readonly name: string; readonly own: readonly string[] } {
  switch (choice.kind) {
    case 'venv':
      return { name: 'venv', own: [choice.file ?? 'empty'] };
    case 'conda':
      return { name: 'conda', own: [choice.file] };
    case 'conda-named':
      return { name: `conda:${choice.name}`, own: [] };
    case 'path':
      return { name: `python:${choice.python}`, own: [] };
    case 'npm':
      return { name: 'npm', own: [choice.file ?? 'no dependencies'] };
    case 'system':
      return { name: 'system', own: [] };
  }
}
