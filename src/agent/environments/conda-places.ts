import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { findProgram, isProgram } from '../../lib/process/find-program.ts';
import type { Env } from './plan.ts';

/** A program that makes conda environments. */
export interface CondaTool {
  readonly name: 'conda' | 'mamba' | 'micromamba';
  readonly path: string;
}

/** Where installers put conda, seen from the home folder or absolute. */
const USUAL_ROOTS = [
  ...['miniconda3', 'miniforge3', 'mambaforge', 'anaconda3', 'micromamba', '.local/share/mamba'],
  ...['/opt/conda', '/opt/miniconda3', '/opt/miniforge3', '/opt/anaconda3'],
];

/** The tools that are here, the quickest first. */
export function condaTools(env: Env): readonly CondaTool[] {
  const folders = [
    env['PATH'] ?? '',
    ...condaRoots(env).flatMap((root) => [join(root, 'bin'), join(root, 'condabin')]),
    join(home(env), '.local', 'bin'),
  ];
  const given = [env['MAMBA_EXE'], env['CONDA_EXE']].flatMap((path) => (path ? [path] : []));
  return (['micromamba', 'mamba', 'conda'] as const).flatMap((name) => {
    const named = given.find((path) => basename(path) === name && isProgram(path));
    const path = named ?? findProgram(name, folders.join(':'));
    return path === null ? [] : [{ name, path }];
  });
}

/** Folders that conda installations live in: their own environment, and named ones below `envs`. */
export function condaRoots(env: Env): readonly string[] {
  const named = [env['MAMBA_ROOT_PREFIX'], env['CONDA_ROOT']].flatMap((root) => (root ? [root] : []));
  const executable = env['CONDA_EXE'];
  const around = executable === undefined || executable === '' ? [] : [dirname(dirname(executable))];
  const usual = USUAL_ROOTS.map((root) => (root.startsWith('/') ? root : join(home(env), root)));
  return [...new Set([...named, ...around, ...usual])].filter((root) => existsSync(root));
}

/** Every environment that has Python, by name; of two with a name the one found first. */
export function condaEnvironments(env: Env): ReadonlyMap<string, string> {
  const listed = (env['CONDA_ENVS_PATH'] ?? env['CONDA_ENVS_DIRS'] ?? '').split(':').filter(Boolean);
  const folders = [
    ...listed,
    ...condaRoots(env).map((root) => join(root, 'envs')),
    join(home(env), '.conda', 'envs'),
  ];
  const prefixes = [
    ...folders.flatMap((folder) => namesIn(folder).map((name) => join(folder, name))),
    ...registered(env),
  ];
  const found = new Map<string, string>();
  for (const prefix of prefixes) {
    const name = basename(prefix);
    if (!found.has(name) && isCondaPrefix(prefix)) found.set(name, prefix);
  }
  return found;
}

function isCondaPrefix(prefix: string): boolean {
  return existsSync(join(prefix, 'conda-meta')) && isProgram(join(prefix, 'bin', 'python'));
}

/** Environments that conda made elsewhere (`-p`) and wrote down. */
function registered(env: Env): readonly string[] {
  try {
    const text = readFileSync(join(home(env), '.conda', 'environments.txt'), 'utf8');
    const roots = new Set(condaRoots(env));
    return text.split('\n').filter((line) => line !== '' && !roots.has(line));
  } catch {
    return [];
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function home(env: Env): string {
  return env['HOME'] ?? '/';
}
