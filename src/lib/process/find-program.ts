import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Absolute path of a program on a search path, or null.
 * @param searchPath folders separated by `:`, as in the environment variable PATH
 */
export function findProgram(name: string, searchPath: string): string | null {
  for (const folder of searchPath.split(':')) {
    const path = join(folder === '' ? '.' : folder, name);
    if (isProgram(path)) return path;
  }
  return null;
}

/** Whether the path is a file that this user may execute. */
export function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
