import { join } from 'node:path';
import { readIfThere } from '../../lib/files.ts';
import { hashOf } from '../../lib/hash.ts';
import { findProgram } from '../../lib/process/find-program.ts';
import { buildOnce, type OnProgress } from './build-once.ts';
import { runStep } from './build-step.ts';
import { PreparationError } from './preparation-error.ts';
import type { Interpreter } from './python-interpreter.ts';

type Env = Readonly<Record<string, string>>;

export interface PythonRequest {
  readonly interpreter: Interpreter;
  readonly packageName: string;
  /** the package in its snapshot */
  readonly packageDir: string;
  readonly packageHash: string;
  readonly environmentsDir: string;
  readonly env: Env;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

export interface PythonEnvironment {
  readonly python: string;
  /** added to the environment variables of what runs in it */
  readonly env: Env;
}

/** What makes virtual environments here. */
interface Tool {
  readonly kind: 'uv' | 'venv' | 'virtualenv';
  readonly path: string;
}

/**
 * The environment of a Python package: a virtual environment where it has a requirements.txt, the interpreter itself
 * where it has none.
 * @throws PreparationError ENVIRONMENT_TOOL_MISSING or ENVIRONMENT_FAILED
 */
export async function pythonEnvironment(request: PythonRequest): Promise<PythonEnvironment> {
  const { interpreter, packageDir, environmentsDir, env } = request;
  const requirements = await readIfThere(join(packageDir, 'requirements.txt'));
  if (requirements === null) return { python: interpreter.path, env: {} };
  const tool = chooseTool(request);
  const key = hashOf({
    requirements,
    // Lines that name other files (-r, -c, -e, -f, paths) bring in content that only the package's hash covers.
    package: namesFiles(requirements) ? request.packageHash : null,
    interpreter: [interpreter.version, interpreter.path, interpreter.platform],
    tool: tool.kind,
  }).slice(0, 32);
  const dir = await buildOnce({
    folder: join(environmentsDir, `python-${key}`),
    build: (target, say) => build(request, { tool, target, say }),
    onProgress: request.onProgress,
    signal: request.signal,
  });
  const bin = join(dir, 'bin');
  return {
    python: join(bin, 'python'),
    env: { VIRTUAL_ENV: dir, PATH: `${bin}:${env['PATH'] ?? ''}` },
  };
}

/**
 * uv is fastest, but knows no Python before 3.8. `venv` comes before virtualenv because its pip belongs to the
 * interpreter: Debian 12's virtualenv brings one that cannot run on Python 3.12 and newer.
 */
function chooseTool({ interpreter, env, packageName }: PythonRequest): Tool {
  const searchPath = env['PATH'] ?? '';
  const uv = findProgram('uv', searchPath);
  if (uv !== null && !/^3\.[67]\./.test(interpreter.version)) return { kind: 'uv', path: uv };
  if (interpreter.ensurepip) return { kind: 'venv', path: interpreter.path };
  const virtualenv = findProgram('virtualenv', searchPath);
  if (virtualenv !== null) return { kind: 'virtualenv', path: virtualenv };
  throw new PreparationError(
    'ENVIRONMENT_TOOL_MISSING',
    `algopkg/${packageName} has a requirements.txt, but nothing here makes a virtual environment for ` +
      `${interpreter.path} (Python ${interpreter.version}, without ensurepip). Install one of: uv ` +
      '(https://docs.astral.sh/uv), virtualenv (pip install --user virtualenv, or Debian: apt install virtualenv), ' +
      'or on Debian and Ubuntu: apt install python3-venv',
  );
}

function namesFiles(requirements: string): boolean {
  return /^\s*(-r|-c|-e|-f|--requirement|--constraint|--editable|--find-links|\.|\/)|file:|@ *\./m.test(
    requirements,
  );
}

async function build(
  { interpreter, packageName, packageDir, env, signal }: PythonRequest,
  { tool, target, say }: { readonly tool: Tool; readonly target: string; readonly say: OnProgress },
): Promise<void> {
  const python = join(target, 'bin', 'python');
  const create: Record<Tool['kind'], readonly string[]> = {
    uv: ['venv', '--python', interpreter.path, target],
    venv: ['-m', 'venv', target],
    virtualenv: ['--python', interpreter.path, target],
  };
  await runStep(
    {
      title: `making a virtual environment (${tool.kind}, Python ${interpreter.version})`,
      command: tool.path,
      args: create[tool.kind],
      cwd: packageDir,
      env,
      failure: `${tool.kind} cannot make a virtual environment for Python ${interpreter.version}`,
    },
    say,
    signal,
  );
  const install = ['install', '-r', 'requirements.txt'];
  const [command, args] =
    tool.kind === 'uv'
      ? [tool.path, ['pip', ...install, '--python', python]]
      : [python, ['-m', 'pip', ...install, '--no-input', '--disable-pip-version-check']];
  await runStep(
    {
      title: `$ ${tool.kind === 'uv' ? 'uv pip' : 'pip'} ${install.join(' ')}`,
      command,
      args,
      cwd: packageDir,
      env,
      failure: `cannot install algopkg/${packageName}/requirements.txt`,
    },
    say,
    signal,
  );
}
