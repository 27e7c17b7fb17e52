import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface Interpreter {
  /** such as `3.6.15` */
  readonly version: string;
  readonly path: string;
}

/** Every CPython from 3.6 on that this machine has: python3 of the system, and pyenv's. Oldest first. */
export function findInterpreters(): readonly Interpreter[] {
  const versions = join(process.env['PYENV_ROOT'] ?? join(homedir(), '.pyenv'), 'versions');
  const pyenv = existsSync(versions)
    ? readdirSync(versions).map((name) => join(versions, name, 'bin', 'python'))
    : [];
  const found = ['/usr/bin/python3', '/usr/local/bin/python3', ...pyenv]
    .map(probe)
    .filter((each) => each !== null);
  const unique = new Map(found.map((each) => [each.version, each]));
  return [...unique.values()].sort((left, right) => minorOf(left) - minorOf(right));
}

function probe(path: string): Interpreter | null {
  if (!existsSync(path)) return null;
  try {
    const version = execFileSync(path, ['-c', 'import platform; print(platform.python_version())'], {
      encoding: 'utf8',
      timeout: 10_000,
    }).trim();
    return /^3\.([6-9]|\d\d)\./.test(version) ? { version, path } : null;
  } catch {
    return null;
  }
}

function minorOf(interpreter: Interpreter): number {
  return Number(interpreter.version.split('.')[1]);
}

const all = findInterpreters();

/**
 * The one that the full suite runs on: 3.11 where there is one, or what TEST_PYTHON asks for (`TEST_PYTHON=3.6`). The
 * matrix runs on all.
 */
const preferred = process.env['TEST_PYTHON'] ?? '3.11';
export const python: Interpreter | null =
  all.find((each) => each.version.startsWith(`${preferred}.`)) ?? all.at(-1) ?? null;
if (python === null) {
  process.stderr.write('skipped: tests of the Python runner: there is no CPython from 3.6 on here\n');
}
export const pythonMinor = python === null ? 0 : minorOf(python);
export const interpreters = all;
