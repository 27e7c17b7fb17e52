import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether a Python package index can be reached; says so where not, naming what is skipped. */
export const hasPackageIndex = (() => {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-index-'));
  try {
    const download = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', folder, 'six'];
    execFileSync('python3', download, { stdio: 'ignore', timeout: 60_000 });
    return true;
  } catch {
    process.stdout.write(
      'skipped: tests of packages with requirements: no Python package index can be reached\n',
    );
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
})();
