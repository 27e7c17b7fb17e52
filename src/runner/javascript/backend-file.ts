import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, ServeError } from '../../lib/errors.ts';

const SOURCE_NAMES = ['backend.ts', 'backend.mts', 'backend.js', 'backend.mjs', 'backend.cjs'] as const;

export interface BackendFile {
  readonly packageDir: string;
  readonly path: string;
  readonly isTypeScript: boolean;
}

/**
 * The one backend file of a package.
 * @throws ServeError NO_BACKEND_FILE when the package has none, AMBIGUOUS_BACKEND_FILE when it has several
 */
export function findBackendFile(codeDir: string, packageName: string): BackendFile {
  const packageDir = join(codeDir, 'algopkg', packageName);
  const present = filesOf(packageDir);
  const found = SOURCE_NAMES.filter((name) => present.includes(name));
  const [name] = found;
  if (name === undefined) {
    const message = `no backend file in ${packageDir}: expected one of ${SOURCE_NAMES.join(', ')}`;
    throw new ServeError(message, { code: 'NO_BACKEND_FILE' });
  }
  if (found.length > 1) {
    const message = `${packageDir} has ${found.join(' and ')}: keep one, the others would never be loaded`;
    throw new ServeError(message, { code: 'AMBIGUOUS_BACKEND_FILE' });
  }
  return { packageDir, path: join(packageDir, name), isTypeScript: name.endsWith('ts') };
}

function filesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
