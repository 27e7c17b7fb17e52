import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { CONDA_FILES } from '../cluster/environments/choose.ts';
import type { DependencyFiles, NpmFile } from '../cluster/environments/types.ts';
import { messageOf, ServeError } from '../lib/errors.ts';
import { readIfThere } from '../lib/files.ts';

/** The most telling first: a lock says more than what it was made from. */
const LOCKS: readonly NpmFile[] = ['package-lock.json', 'npm-shrinkwrap.json', 'pnpm-lock.yaml', 'yarn.lock'];

/**
 * Looks which of its files say what a package depends on.
 * @throws ServeError DEPENDENCIES_UNREADABLE for a pyproject.toml or package.json that cannot be read
 */
export async function readDependencyFiles(packageDir: string): Promise<DependencyFiles> {
  const has = (name: string): boolean => existsSync(join(packageDir, name));
  return {
    conda: CONDA_FILES.find(has) ?? null,
    python: has('requirements.txt')
      ? 'requirements.txt'
      : (await readProjectDependencies(packageDir)) === null
        ? null
        : 'pyproject.toml',
    npm: (await listsPackages(packageDir)) ? (LOCKS.find(has) ?? 'package.json') : null,
  };
}

/**
 * The dependencies that a pyproject.toml lists, one requirement each. The package itself is not among them: its code is
 * imported from its folder.
 * @returns null where it lists none: then it is there for tools only
 * @throws ServeError DEPENDENCIES_UNREADABLE
 */
export async function readProjectDependencies(packageDir: string): Promise<readonly string[] | null> {
  const file = join(packageDir, 'pyproject.toml');
  const text = await readIfThere(file);
  if (text === null) return null;
  const { project } = parsed(file, () => parse(text)) as { readonly project?: Record<string, unknown> };
  const dynamic = project?.['dynamic'];
  if (Array.isArray(dynamic) && dynamic.includes('dependencies')) {
    throw unreadable(file, 'its dependencies are dynamic; write them into a requirements.txt');
  }
  const dependencies = project?.['dependencies'];
  if (!Array.isArray(dependencies) || dependencies.length === 0) return null;
  return dependencies.map(String);
}

async function listsPackages(packageDir: string): Promise<boolean> {
  const file = join(packageDir, 'package.json');
  const text = await readIfThere(file);
  if (text === null) return false;
  const manifest = parsed(file, () => JSON.parse(text) as Record<string, object | undefined>);
  const { dependencies, optionalDependencies } = manifest as Record<string, object | undefined>;
  return Object.keys({ ...dependencies, ...optionalDependencies }).length > 0;
}

function parsed<Value>(file: string, parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw unreadable(file, messageOf(error).split('\n')[0] ?? '');
  }
}

function unreadable(file: string, why: string): ServeError {
  return new ServeError(`${file} cannot be read: ${why}`, { code: 'DEPENDENCIES_UNREADABLE' });
}
