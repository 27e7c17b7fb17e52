import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CACHE = fileURLToPath(
  new URL('../../../node_modules/.cache/modelserve-test-servers/', import.meta.url),
);

/**
 * A test's server, installed once for all tests into a folder which they do not write to.
 * @returns null, having said why, where it cannot be had
 */
export function installPackage(spec: string, what: string): string | null {
  const installed = join(CACHE, spec.replaceAll('/', '+'));
  if (existsSync(installed)) return installed;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'coming-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{}');
    const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', spec];
    execFileSync('npm', install, { cwd: folder, stdio: 'ignore', timeout: 240_000 });
    if (!existsSync(installed)) renameSync(folder, installed);
    return installed;
  } catch {
    if (existsSync(installed)) return installed; // by another file's tests meanwhile
    process.stdout.write(`skipped: ${what}: ${spec} cannot be installed from a package index\n`);
    return null;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
