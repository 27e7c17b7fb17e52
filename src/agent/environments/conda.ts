import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { describeEnvironment } from '../../cluster/environments/choose.ts';
import type { EnvironmentChoice } from '../../cluster/environments/types.ts';
import { isProgram } from '../../lib/process/find-program.ts';
import type { OnProgress } from '../../lib/shared-work.ts';
import { runStep } from './build-step.ts';
import { activationOf } from './conda-activation.ts';
import { type CondaTool, condaEnvironments, condaTools } from './conda-places.ts';
import type { Env, EnvironmentPlan, PackageInPlace, PythonEntry } from './plan.ts';
import { PreparationError } from './preparation-error.ts';

export interface CondaRequest extends PackageInPlace {
  readonly choice: Extract<EnvironmentChoice, { kind: 'conda' }>;
  readonly env: Env;
}

/**
 * A conda environment made from a package's environment.yml, by micromamba, mamba or conda.
 * @throws PreparationError ENVIRONMENT_TOOL_MISSING or ENVIRONMENT_FAILED
 */
export async function planConda(request: CondaRequest): Promise<EnvironmentPlan<PythonEntry>> {
  const { choice, packageDir, packageName, packageHash, env } = request;
  const [tool] = condaTools(env);
  if (tool === undefined) {
    throw new PreparationError(
      'ENVIRONMENT_TOOL_MISSING',
      `algopkg/${packageName} has ${choice.file}, but neither micromamba, mamba nor conda is on the PATH or in a ` +
        'usual place here. Install one (https://mamba.readthedocs.io: micromamba is a single file), or set MAMBA_EXE ' +
        'or CONDA_EXE for the node, or environment = venv in conf.ini',
    );
  }
  const file = join(packageDir, choice.file);
  if (!existsSync(file)) {
    throw new PreparationError('ENVIRONMENT_FAILED', `there is no algopkg/${packageName}/${choice.file}`);
  }
  const content = await readFile(file, 'utf8');
  return {
    kind: 'conda',
    description: describeEnvironment(choice, [tool.name]),
    build: {
      inputs: {
        content,
        package: /^\s*-\s*(-r|-c|-e|\.)|file:/m.test(content) ? packageHash : null,
        platform: [platform(), arch()],
      },
      fill: (dir, say, signal) => build(request, tool, { dir, say, signal }),
    },
    enter: (dir) => enterCondaPrefix(join(dir, PREFIX), env),
  };
}

/** conda refuses to fill a folder that is there already, so it makes one inside. */
const PREFIX = 'prefix';

async function build(
  { packageDir, packageName, choice, env }: CondaRequest,
  tool: CondaTool,
  work: { readonly dir: string; readonly say: OnProgress; readonly signal: AbortSignal },
): Promise<void> {
  const prefix = join(work.dir, PREFIX);
  const command = tool.name === 'micromamba' ? ['create', '--yes'] : ['env', 'create'];
  const args = [...command, '--prefix', prefix, '--file', choice.file];
  await runStep(
    {
      title: `$ ${tool.name} ${args.join(' ')}`,
      command: tool.path,
      args,
      cwd: packageDir,
      env: { ...env, CONDA_ALWAYS_YES: 'true', MAMBA_ALWAYS_YES: 'true', MAMBA_NO_BANNER: '1' },
      failure: `${tool.name} cannot make the environment of algopkg/${packageName}/${choice.file}`,
    },
    work.say,
    work.signal,
  );
  if (isProgram(join(prefix, 'bin', 'python'))) return;
  throw new PreparationError(
    'ENVIRONMENT_FAILED',
    `the environment of algopkg/${packageName}/${choice.file} has no Python; add "python" to its dependencies`,
  );
}

/**
 * A conda environment that somebody has made and keeps, by its name.
 * @throws PreparationError ENVIRONMENT_FAILED listing those there are
 */
export function planNamedConda(
  choice: Extract<EnvironmentChoice, { kind: 'conda-named' }>,
  env: Env,
): EnvironmentPlan<PythonEntry> {
  const there = condaEnvironments(env);
  const prefix = there.get(choice.name);
  if (prefix === undefined) {
    const list = there.size === 0 ? 'there is none' : `there are ${[...there.keys()].sort().join(', ')}`;
    throw new PreparationError(
      'ENVIRONMENT_FAILED',
      `there is no conda environment ${choice.name} with Python on this node (${list}); make it, or correct ` +
        'environment in conf.ini',
    );
  }
  return {
    kind: 'conda-named',
    description: describeEnvironment(choice, [prefix]),
    build: null,
    enter: () => enterCondaPrefix(prefix, env),
  };
}

async function enterCondaPrefix(prefix: string, env: Env): Promise<PythonEntry> {
  const activated = {
    CONDA_PREFIX: prefix,
    CONDA_DEFAULT_ENV: prefix,
    PATH: `${join(prefix, 'bin')}:${env['PATH'] ?? ''}`,
  };
  return {
    python: join(prefix, 'bin', 'python'),
    env: { ...activated, ...(await activationOf(prefix, { ...env, ...activated })) },
  };
}
