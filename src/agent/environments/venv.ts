import { readdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describeEnvironment } from '../../cluster/environments/choose.ts';
import type { EnvironmentChoice } from '../../cluster/environments/types.ts';
import { codeOf } from '../../lib/errors.ts';
import { findProgram } from '../../lib/process/find-program.ts';
import type { OnProgress } from '../../lib/shared-work.ts';
import { readProjectDependencies } from '../../packages/dependency-files.ts';
import { runStep } from './build-step.ts';
import { pipSettingsForUv } from './pip-settings.ts';
import type { Env, EnvironmentPlan, PackageInPlace, PythonEntry } from './plan.ts';
import { PreparationError } from './preparation-error.ts';
import type { Interpreter } from './python-interpreter.ts';
import { readRequirements } from './requirement-files.ts';

export interface VenvRequest extends PackageInPlace {
  readonly interpreter: Interpreter;
  readonly choice: Extract<EnvironmentChoice, { kind: 'venv' }>;
  /** folder of wheels, absolute or inside the package; null: none */
  readonly wheels: string | null;
  readonly env: Env;
}

/** What makes virtual environments here. */
interface Tool {
  readonly kind: 'uv' | 'venv' | 'virtualenv';
  readonly path: string;
  /** program and first arguments that make one, before its folder */
  readonly create: readonly string[];
  /** program and first arguments that install into it, before `install` */
  readonly pip: (python: string) => readonly [program: string, ...args: string[]];
}

/** Dependencies of a pyproject.toml, written where pip and uv can read them. */
const FROM_PYPROJECT = 'from-pyproject.txt';

/**
 * A virtual environment with what a requirements.txt or a pyproject.toml asks for.
 * @throws PreparationError ENVIRONMENT_TOOL_MISSING, or what reading those files throws
 */
export async function planVenv(request: VenvRequest): Promise<EnvironmentPlan<PythonEntry>> {
  const { interpreter, choice, packageDir, packageHash, env } = request;
  const tool = chooseTool(request);
  const wanted = await readWanted(packageDir, choice.file);
  const wheels = request.wheels === null ? null : resolve(packageDir, request.wheels);
  return {
    kind: 'venv',
    description: describeEnvironment(choice, [`Python ${interpreter.version}`, tool.kind]),
    build: {
      inputs: {
        requirements: wanted.content,
        package: wanted.usesPackage ? packageHash : null,
        interpreter: [interpreter.version, interpreter.path, interpreter.platform],
        tool: tool.kind,
        wheels: wheels === null ? null : await contentOf(wheels),
      },
      fill: (dir, say, signal) => build(request, { tool, wheels, lines: wanted.lines, dir, say, signal }),
    },
    enter: async (dir) => {
      const bin = join(dir, 'bin');
      return {
        python: join(bin, 'python'),
        env: { VIRTUAL_ENV: dir, PATH: `${bin}:${env['PATH'] ?? ''}` },
      };
    },
  };
}

/**
 * uv is fastest, but knows no Python before 3.8. `venv` comes before virtualenv because its pip belongs to the
 * interpreter: Debian 12's virtualenv brings one that cannot run on Python 3.12 and newer.
 */
function chooseTool({ interpreter, env, packageName, choice }: VenvRequest): Tool {
  const searchPath = env['PATH'] ?? '';
  const uv = findProgram('uv', searchPath);
  const { path, version, ensurepip } = interpreter;
  if (uv !== null && !/^3\.[67]\./.test(version)) {
    return { kind: 'uv', path: uv, create: ['venv', '--python', path], pip: () => [uv, 'pip'] };
  }
  const own = (python: string): [string, ...string[]] => [python, '-m', 'pip', ...PIP_QUIET];
  if (ensurepip && installsElsewhere(interpreter)) {
    const pip = (python: string): [string, ...string[]] => [
      path,
      '-m',
      'pip',
      '--python',
      python,
      ...PIP_QUIET,
    ];
    return { kind: 'venv', path, create: ['-m', 'venv', '--without-pip'], pip };
  }
  if (ensurepip) return { kind: 'venv', path, create: ['-m', 'venv'], pip: own };
  const virtualenv = findProgram('virtualenv', searchPath);
  if (virtualenv !== null)
    return { kind: 'virtualenv', path: virtualenv, create: ['--python', path], pip: own };
  throw new PreparationError(
    'ENVIRONMENT_TOOL_MISSING',
    `algopkg/${packageName} ${choice.file === null ? 'wants a virtual environment' : `has a ${choice.file}`}, but ` +
      `nothing here makes a virtual environment for ${interpreter.path} (Python ${interpreter.version}, without ` +
      'ensurepip). Install one of: uv (https://docs.astral.sh/uv), virtualenv (pip install --user virtualenv, or ' +
      'Debian: apt install virtualenv), or on Debian and Ubuntu: apt install python3-venv',
  );
}

const PIP_QUIET = ['--no-input', '--disable-pip-version-check'];

/** pip 22.3 and later installs into another environment: one without a pip of its own is made 40 times faster. */
function installsElsewhere({ pip }: Interpreter): boolean {
  const [major = 0, minor = 0] = pip.split('.').map(Number);
  return major > 22 || (major === 22 && minor >= 3);
}

interface Wanted {
  readonly content: unknown;
  readonly usesPackage: boolean;
  /** requirements to be written into a file; null: they are in one */
  readonly lines: readonly string[] | null;
}

async function readWanted(packageDir: string, file: VenvRequest['choice']['file']): Promise<Wanted> {
  if (file === null) return { content: null, usesPackage: false, lines: null };
  if (file === 'requirements.txt') {
    const { files, usesPackage } = await readRequirements(packageDir, file);
    return { content: files, usesPackage, lines: null };
  }
  const lines = (await readProjectDependencies(packageDir)) ?? [];
  return { content: lines, usesPackage: lines.some((line) => line.includes('file:')), lines };
}

/** Names and sizes of a folder's files: a wheel's name says what is in it. */
async function contentOf(wheels: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(wheels)).sort();
    return await Promise.all(names.map(async (name) => `${name} ${(await stat(join(wheels, name))).size}`));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    throw new PreparationError('ENVIRONMENT_FAILED', `the folder of wheels ${wheels} is not on this node`);
  }
}

interface Work {
  readonly tool: Tool;
  readonly wheels: string | null;
  readonly lines: Wanted['lines'];
  readonly dir: string;
  readonly say: OnProgress;
  readonly signal: AbortSignal;
}

async function build(request: VenvRequest, work: Work): Promise<void> {
  const { interpreter, packageDir, env, choice } = request;
  const { tool, dir, lines, say, signal } = work;
  await runStep(
    {
      title: `making a virtual environment (${tool.kind}, Python ${interpreter.version})`,
      command: tool.path,
      args: [...tool.create, dir],
      cwd: packageDir,
      env,
      failure: `${tool.kind} cannot make a virtual environment for Python ${interpreter.version}`,
    },
    say,
    signal,
  );
  if (choice.file === null) return;
  const file = lines === null ? choice.file : join(dir, FROM_PYPROJECT);
  if (lines !== null) await writeFile(file, `${lines.join('\n')}\n`);
  if (work.wheels !== null && (await installFromWheels(request, work, file))) return;
  const links = work.wheels === null ? [] : ['--find-links', work.wheels];
  await install(request, work, ['-r', file, ...links]);
}

/** @returns false when not everything is there, or in what is there */
async function installFromWheels(request: VenvRequest, work: Work, file: string): Promise<boolean> {
  try {
    await install(request, work, ['-r', file, '--no-index', '--find-links', work.wheels ?? '']);
    return true;
  } catch (error) {
    if (!(error instanceof PreparationError)) throw error;
    work.say(`${work.wheels} does not have all that is needed: asking the package index, too`);
    return false;
  }
}

async function install(request: VenvRequest, work: Work, args: readonly string[]): Promise<void> {
  const { packageDir, packageName, choice, env } = request;
  const { tool, dir, say, signal } = work;
  const isUv = tool.kind === 'uv';
  const python = join(dir, 'bin', 'python');
  const [command, ...first] = tool.pip(python);
  await runStep(
    {
      title: `$ ${isUv ? 'uv pip' : 'pip'} install ${args.join(' ')}`,
      command,
      args: [...first, 'install', ...args, ...(isUv ? ['--python', python] : [])],
      cwd: packageDir,
      env: isUv ? { ...(await pipSettingsForUv(env)), ...env } : env,
      failure: `cannot install algopkg/${packageName}/${choice.file}`,
    },
    say,
    signal,
  );
}
