// Packages of npm for other contestants: installed once, kept under the user's cache folder, one folder for each set.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder, lastLine } from './environments.mjs';
import { runToEnd } from './processes.mjs';

const INSTALL_TIMEOUT_MS = 600_000;

/**
 * Installs packages, or finds them installed. What cannot be installed is tried again in the next run.
 * @param {{name: string, packages: readonly string[]}} wanted packages with their versions, as npm takes them
 * @returns {Promise<{modules: string} | {skipped: string}>} modules: the folder to require them from; skipped: why, in one line
 */
export async function nodePackages({ name, packages }) {
  const folder = cacheFolder('node', name, packages);
  const stamp = join(folder, 'installed');
  if (existsSync(stamp)) return { modules: folder };
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"private": true}\n');
  const words = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', ...packages];
  const npm = await runToEnd('npm', words, { cwd: folder, timeoutMs: INSTALL_TIMEOUT_MS });
  if (npm.code === 0) {
    writeFileSync(stamp, '');
    return { modules: folder };
  }
  rmSync(folder, { recursive: true, force: true });
  return { skipped: `npm install ${packages.join(' ')} failed: ${lastLine(npm.output)}` };
}
