import { resolve } from 'node:path';
import { runCommand } from '../../lib/process/command.ts';
import { findProgram, isProgram } from '../../lib/process/find-program.ts';
import { compareVersions, installedInterpreters, isVersion } from './installed-interpreters.ts';
import { PreparationError } from './preparation-error.ts';

const PROBE_TIMEOUT_MS = 20_000;
const OLDEST = [3, 6] as const;

const PROBE = `
import json, platform, sys
try:
    from importlib.util import find_spec
    ensurepip = find_spec("ensurepip") is not None and find_spec("venv") is not None
except ImportError:
    ensurepip = False
try:
    from pip import __version__ as pip
except Exception:
    pip = ""
print(json.dumps({
    "path": sys.executable,
    "version": "%d.%d.%d" % sys.version_info[:3],
    "platform": sys.platform + "-" + platform.machine(),
    "ensurepip": ensurepip,
    "pip": pip,
}))
`;

/** A Python that was run and has said this of itself. */
export interface Interpreter {
  /** its own sys.executable, so no shim that depends on the folder or environment it is called in */
  readonly path: string;
  readonly version: string;
  readonly platform: string;
  /** `python -m venv` works with it (Debian takes ensurepip out) */
  readonly ensurepip: boolean;
  /** version of the pip beside it, '' where there is none */
  readonly pip: string;
}

export interface InterpreterSearch {
  /** of conf.ini's `python`: a version such as 3.9, a path, or null for the first python3 */
  readonly wanted: string | null;
  /** relative paths start here */
  readonly projectDir: string;
  /** PATH, HOME and the variables of pyenv, uv and conda in it say where to look */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Finds the interpreter a deployment asks for. A version is looked for on the PATH, then among those of pyenv, uv and
 * conda (newest patch first); each candidate is run before it is believed, because shims exist for versions that are not there.
 * @throws PreparationError INTERPRETER_NOT_FOUND listing what there is
 */
export async function findInterpreter(search: InterpreterSearch): Promise<Interpreter> {
  for (const path of candidates(search)) {
    const found = await probe(path, search.env);
    if (found !== null && fits(found, search.wanted)) return found;
  }
  throw new PreparationError('INTERPRETER_NOT_FOUND', await notFound(search));
}

function candidates({ wanted, projectDir, env }: InterpreterSearch): readonly string[] {
  const searchPath = env['PATH'] ?? '';
  if (wanted === null) return onPath(['python3'], searchPath);
  if (!isVersion(wanted)) return [resolve(projectDir, wanted)].filter(isProgram);
  const [major, minor] = wanted.split('.');
  const names = minor === undefined ? [`python${major}`] : [`python${major}.${minor}`, `python${major}`];
  return [...onPath(names, searchPath), ...installedInterpreters(env, wanted).map(({ path }) => path)];
}

function onPath(names: readonly string[], searchPath: string): readonly string[] {
  return names.map((name) => findProgram(name, searchPath)).filter((path) => path !== null);
}

async function probe(path: string, env: Readonly<Record<string, string>>): Promise<Interpreter | null> {
  const run = await runCommand(path, ['-c', PROBE], { env, timeoutMs: PROBE_TIMEOUT_MS });
  if (run.exitCode !== 0) return null;
  try {
    return JSON.parse(run.stdout) as Interpreter;
  } catch {
    return null; // something else that calls itself python
  }
}

function fits({ version }: Interpreter, wanted: string | null): boolean {
  if (compareVersions(version, OLDEST.join('.')) < 0) return false;
  return wanted === null || !isVersion(wanted) || version === wanted || version.startsWith(`${wanted}.`);
}

async function notFound({ wanted, projectDir, env }: InterpreterSearch): Promise<string> {
  const oldest = OLDEST.join('.');
  const there = await installed(env);
  const list = there.length === 0 ? 'none was found' : `found: ${there.join(', ')}`;
  if (wanted === null) {
    return `no python3 (${oldest} or newer) on the PATH (${list}); install Python 3 or set python = <path> in conf.ini`;
  }
  if (isVersion(wanted)) {
    return `Python ${wanted} is neither on the PATH nor among those of pyenv, uv and conda (${list}); install it, or set python to one of these in conf.ini`;
  }
  return `${resolve(projectDir, wanted)} is no Python ${oldest} or newer that can be run (${list}); correct python in conf.ini`;
}

async function installed(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const names = ['python3', ...Array.from({ length: 20 }, (_, minor) => `python3.${minor + OLDEST[1]}`)];
  const found = await Promise.all(onPath(names, env['PATH'] ?? '').map((path) => probe(path, env)));
  const answered = found.filter((interpreter) => interpreter !== null);
  const elsewhere = installedInterpreters(env, '3').map(({ path }) => path);
  return [...new Set([...answered.map(({ path, version }) => `${version} (${path})`), ...elsewhere])];
}
