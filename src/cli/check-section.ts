import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeploymentSpec } from '../cluster/spec/types.ts';
import { type CompiledConf, compileConf, compileText } from '../config/compile.ts';
import { renderFinding } from '../config/finding.ts';
import { searchJavascriptClass } from '../config/javascript-names.ts';
import { searchPythonClass } from '../config/python-names.ts';
import { CommandFailure, ExitCode } from './exit.ts';

export interface CheckWish {
  readonly packageName: string;
  /** --backend; null: as conf.ini says, else the only class there is */
  readonly backend: string | null;
  /** --model as written; null: as conf.ini says */
  readonly model: string | null;
  /** --python and --environment, in place of what conf.ini says; null: that */
  readonly python: string | null;
  readonly environment: string | null;
}

export interface CheckedSpec {
  readonly spec: DeploymentSpec;
  readonly conf: CompiledConf;
}

/**
 * What a package would be deployed as from this folder: its section of conf.ini where there is one, else one made up
 * from the defaults.
 * @throws CommandFailure (usage) with the mistakes
 */
export async function specToCheck(projectDir: string, wish: CheckWish): Promise<CheckedSpec> {
  const confPath = join(projectDir, 'conf.ini');
  const deployed = await deployedSpec(confPath, wish.packageName);
  const backend = wish.backend ?? deployed?.backend ?? (await onlyClass(projectDir, wish.packageName));
  const models = wish.model ?? deployed?.models.join(', ') ?? '';
  const others = (['python', 'environment'] as const).flatMap((key) =>
    wish[key] === null ? [] : [`${key} = ${wish[key]}`],
  );
  const lines = [`[algopkg.${wish.packageName}]`, `backend = ${backend}`, `model = ${models}`, ...others];
  const text = `${lines.join('\n')}\n`;
  const compiled = await compileText(confPath, text);
  if (!compiled.ok) {
    throw new CommandFailure(
      compiled.mistakes.map((one) => renderFinding({ ...one, line: null })).join('\n'),
      ExitCode.usage,
    );
  }
  const [made] = compiled.conf.deployments;
  if (made === undefined)
    throw new CommandFailure(`there is no package ${wish.packageName} here`, ExitCode.usage);
  return { spec: deployed === null ? made : merged(deployed, made, wish), conf: compiled.conf };
}

/** One that names an interpreter or an environment means it instead of both that the section names. */
function merged(deployed: DeploymentSpec, made: DeploymentSpec, wish: CheckWish): DeploymentSpec {
  const { backend, models, python, environment } = made;
  const isElsewhere = wish.python !== null || wish.environment !== null;
  return { ...deployed, backend, models, ...(isElsewhere ? { python, environment } : {}) };
}

async function deployedSpec(confPath: string, packageName: string): Promise<DeploymentSpec | null> {
  if (!existsSync(confPath)) return null;
  const compiled = await compileConf(confPath);
  if (!compiled.ok) return null;
  return compiled.conf.deployments.find((spec) => spec.packageName === packageName) ?? null;
}

/** The class of a backend file that has just one. */
async function onlyClass(projectDir: string, packageName: string): Promise<string> {
  const folder = join(projectDir, 'algopkg', packageName);
  const file = ['backend.py', 'backend.ts', 'backend.mts', 'backend.js', 'backend.mjs', 'backend.cjs']
    .map((name) => join(folder, name))
    .find((path) => existsSync(path));
  if (file === undefined) return 'Backend'; // compiling says what is missing
  const source = await readFile(file, 'utf8');
  const { classes } = file.endsWith('.py')
    ? searchPythonClass(source, '')
    : searchJavascriptClass(source, '');
  const [first = 'Backend'] = classes;
  if (classes.length > 1) {
    throw new CommandFailure(
      `${file} has several classes: ${classes.join(', ')}. Name one with --backend.`,
      ExitCode.usage,
    );
  }
  return first;
}
