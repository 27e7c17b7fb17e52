import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServeError } from './errors.ts';

/**
 * The folder of this package (the one with its package.json), whether the program runs from `src/` or from `dist/`:
 * for files that the compiler does not copy, such as Lua scripts and the Python runner.
 * @throws ServeError PACKAGE_ROOT_MISSING when no folder above has a package.json
 */
export function packageRoot(): string {
  const start = dirname(fileURLToPath(import.meta.url));
  let folder = start;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) {
      throw new ServeError(
        `no package.json in any folder above ${start}: the installation is incomplete, install modelserve again`,
        { code: 'PACKAGE_ROOT_MISSING' },
      );
    }
    folder = above;
  }
  return folder;
}
