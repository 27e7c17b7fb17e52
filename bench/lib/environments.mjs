// Virtual environments for the Python contestants: built once, kept under the user's cache folder, one for each set of
// requirements and interpreter.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runToEnd } from './processes.mjs';

const INSTALL_TIMEOUT_MS = 600_000;
const QUESTION_TIMEOUT_MS = 60_000;

/**
 * @param {'python' | 'node'} kind
 * @param {readonly string[]} contents what it is about to hold: other contents, another folder
 * @returns {string} a folder that outlives a run
 */
export function cacheFolder(kind, name, contents) {
  const caches = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const key = createHash('sha256').update(contents.join('\n')).digest('hex').slice(0, 10);
  return join(caches, 'modelserve-bench', kind, `${name}-${key}`);
}

/**
 * @typedef {object} PythonEnvironment
 * @property {string} bin folder with `python` and the programs that the packages bring
 * @property {Record<string, string>} versions of the packages asked for, and of Python
 */

/**
 * Builds the environment, or finds it built. What cannot be installed is remembered for this run only.
 * @param {{name: string, requirements: readonly string[]}} wanted requirements as pip takes them
 * @returns {Promise<{environment: PythonEnvironment} | {skipped: string}>} skipped: why, in one line
 */
export async function pythonEnvironment(wanted) {
  const python = await runToEnd('python3', ['-c', 'import sys; print(sys.version.split()[0])'], {
    timeoutMs: QUESTION_TIMEOUT_MS,
  });
  if (python.code !== 0) return { skipped: `python3 does not run: ${lastLine(python.output)}` };
  const version = python.output.trim();
  const folder = cacheFolder('python', wanted.name, [version, ...wanted.requirements]);
  const stamp = join(folder, 'versions.json');
  if (!existsSync(stamp)) {
    const failure = await install(folder, wanted.requirements);
    if (failure !== null) {
      rmSync(folder, { recursive: true, force: true });
      return { skipped: failure };
    }
    writeFileSync(
      stamp,
      JSON.stringify({ python: version, ...(await versionsIn(folder, wanted.requirements)) }),
    );
  }
  return { environment: { bin: join(folder, 'bin'), versions: JSON.parse(readFileSync(stamp, 'utf8')) } };
}

async function install(folder, requirements) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, '..'), { recursive: true });
  const created = await runToEnd('python3', ['-m', 'venv', folder], { timeoutMs: QUESTION_TIMEOUT_MS });
  if (created.code !== 0) return `python3 -m venv failed: ${lastLine(created.output)}`;
  if (requirements.length === 0) return null;
  const pip = await runToEnd(
    join(folder, 'bin', 'python'),
    ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...requirements],
    { timeoutMs: INSTALL_TIMEOUT_MS },
  );
  return pip.code === 0 ? null : `pip install ${requirements.join(' ')} failed: ${lastLine(pip.output)}`;
}

async function versionsIn(folder, requirements) {
  const names = requirements.map((one) => one.replace(/[^A-Za-z0-9_.-].*$/, ''));
  const program =
    'import sys, json; from importlib.metadata import version as v; print(json.dumps({n: v(n) for n in sys.argv[1:]}))';
  const asked = await runToEnd(join(folder, 'bin', 'python'), ['-c', program, ...names], {
    timeoutMs: QUESTION_TIMEOUT_MS,
  });
  return asked.code === 0 ? JSON.parse(asked.output) : {};
}

/** The line of a program's output that says most about why it failed. */
export function lastLine(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return (lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? 'no output').trim();
}
