import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Installs a test's server into a folder of its own. @returns null, having said why, where it cannot be had */
export function installPackage(spec: string, what: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-server-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{}');
    const install = ['install', '--no-audit', '--no-fund', '--ignore-scripts', spec];
    execFileSync('npm', install, { cwd: folder, stdio: 'ignore', timeout: 240_000 });
    return folder;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    process.stdout.write(`skipped: ${what}: ${spec} cannot be installed from a package index\n`);
    return null;
  }
}
