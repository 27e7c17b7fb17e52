import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether a Python package index can be reached; says so where not, naming what is skipped. */
export const hasPackageIndex = (() => {
  try {
    execFileSync(
      'python3',
      [
        '-m',
        'pip',
        'download',
        '--quiet',
        '--no-deps',
        '--dest',
        join(tmpdir(), 'modelserve-index-probe'),
        'six',
      ],
      {
        stdio: 'ignore',
        timeout: 60_000,
      },
    );
    return true;
  } catch {
    process.stdout.write(
      'skipped: tests of packages with requirements: no Python package index can be reached\n',
    );
    return false;
  }
})();
