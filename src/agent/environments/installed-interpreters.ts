import { readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { isProgram } from '../../lib/process/find-program.ts';
import { condaEnvironments, condaRoots } from './conda-places.ts';
import type { Env } from './plan.ts';

/** An interpreter that lies where its kind of installer puts it; not run yet. */
export interface InstalledInterpreter {
  readonly path: string;
  /** as the folder's name says; '' where it does not */
  readonly version: string;
}

/**
 * Interpreters of a version that pyenv, uv and conda have installed: in this order, the newest patch first. Nothing is
 * run.
 * @param wanted `3`, `3.9` or `3.9.18`
 */
export function installedInterpreters(env: Env, wanted: string): readonly InstalledInterpreter[] {
  const minor = wanted.split('.').slice(0, 2).join('.');
  return [...ofPyenv(env), ...ofUv(env), ...ofConda(env, minor)].filter(
    ({ path, version }) =>
      (version === '' || version === wanted || version.startsWith(`${wanted}.`)) && isProgram(path),
  );
}

function ofPyenv(env: Env): readonly InstalledInterpreter[] {
  const versions = join(env['PYENV_ROOT'] || join(home(env), '.pyenv'), 'versions');
  return newestFirst(namesIn(versions).filter(isVersion)).map((version) => ({
    version,
    path: join(versions, version, 'bin', 'python'),
  }));
}

const UV_FOLDER = /^cpython-(\d+\.\d+\.\d+)-/;

function ofUv(env: Env): readonly InstalledInterpreter[] {
  const folder =
    env['UV_PYTHON_INSTALL_DIR'] ||
    join(env['XDG_DATA_HOME'] || join(home(env), '.local', 'share'), 'uv', 'python');
  const found = new Map(
    namesIn(folder).flatMap((name) => {
      const version = UV_FOLDER.exec(name)?.[1];
      return version === undefined ? [] : [[version, join(folder, name, 'bin', 'python')] as const];
    }),
  );
  return newestFirst([...found.keys()]).map((version) => ({ version, path: found.get(version) ?? '' }));
}

/** conda's own environment first, then the others; the name of the program tells the minor version. */
function ofConda(env: Env, minor: string): readonly InstalledInterpreter[] {
  const prefixes = [...condaRoots(env), ...condaEnvironments(env).values()];
  return prefixes.map((prefix) => ({ version: '', path: join(prefix, 'bin', `python${minor}`) }));
}

/** Minor versions that installers have put here, oldest first, `3.9`. */
export function installedMinors(env: Env): readonly string[] {
  const named = [...ofPyenv(env), ...ofUv(env)].filter(({ path }) => isProgram(path));
  const prefixes = [...condaRoots(env), ...condaEnvironments(env).values()];
  const linked = prefixes.flatMap((prefix) => {
    const version = /python(3\.\d+)$/.exec(targetOf(join(prefix, 'bin', 'python')))?.[1];
    return version === undefined ? [] : [version];
  });
  const minors = [...named.map(({ version }) => version.split('.').slice(0, 2).join('.')), ...linked];
  return [...new Set(minors)].sort(compareVersions);
}

function targetOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return '';
  }
}

function newestFirst(versions: readonly string[]): readonly string[] {
  return [...versions].sort((left, right) => compareVersions(right, left));
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not installed here
  }
}

function home(env: Env): string {
  return env['HOME'] ?? '/';
}

export function isVersion(text: string): boolean {
  return /^\d+(\.\d+){0,2}$/.test(text);
}

/** For sorting: negative when the left one is older. */
export function compareVersions(left: string, right: string): number {
  const [ours, theirs] = [left, right].map((version) => version.split('.').map(Number));
  for (let position = 0; position < 3; position++) {
    const difference = (ours?.[position] ?? 0) - (theirs?.[position] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
