import { join } from 'node:path';
import { chooseEnvironment } from '../../cluster/environments/choose.ts';
import type { EnvironmentChoice } from '../../cluster/environments/types.ts';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { readDependencyFiles } from '../../packages/dependency-files.ts';
import { planConda, planNamedConda } from './conda.ts';
import { planExistingPython } from './existing-python.ts';
import { type ModulesEntry, planNpm } from './npm.ts';
import type { Env, EnvironmentPlan, PackageInPlace, PythonEntry } from './plan.ts';
import { findInterpreter } from './python-interpreter.ts';
import { planVenv } from './venv.ts';

/** What of a deployment decides about its environment. */
export type EnvironmentSpec = Pick<
  PinnedSpec,
  'language' | 'packageName' | 'environment' | 'python' | 'wheels' | 'projectDir'
>;

export interface Machine {
  /** the node program for JavaScript backends, and its version */
  readonly nodePath: string;
  readonly nodeVersion: string;
  /** what every child process gets; its PATH is what programs are looked for on */
  readonly baseEnv: Env;
}

export type PlannedEnvironment =
  | { readonly language: 'python'; readonly plan: EnvironmentPlan<PythonEntry> }
  | { readonly language: 'javascript'; readonly plan: EnvironmentPlan<ModulesEntry> };

/**
 * Finds out what a deployment runs in on this machine; nothing is made.
 * @throws PreparationError saying what is missing
 */
export async function planEnvironment(
  spec: EnvironmentSpec,
  inPlace: PackageInPlace,
  machine: Machine,
): Promise<PlannedEnvironment> {
  const files = await readDependencyFiles(inPlace.packageDir);
  const choice = chooseEnvironment(spec.language, spec.environment, files);
  if (choice.kind === 'npm') {
    const { nodePath, nodeVersion, baseEnv } = machine;
    const plan = await planNpm({ ...inPlace, choice, nodePath, nodeVersion, env: baseEnv });
    return { language: 'javascript', plan };
  }
  return { language: 'python', plan: await planPython(choice, { spec, inPlace, env: machine.baseEnv }) };
}

async function planPython(
  choice: Exclude<EnvironmentChoice, { kind: 'npm' }>,
  {
    spec,
    inPlace,
    env,
  }: { readonly spec: EnvironmentSpec; readonly inPlace: PackageInPlace; readonly env: Env },
): Promise<EnvironmentPlan<PythonEntry>> {
  const interpreter = async (wanted: string | null) =>
    await findInterpreter({ wanted, projectDir: spec.projectDir, env });
  switch (choice.kind) {
    case 'conda':
      return await planConda({ ...inPlace, choice, env });
    case 'conda-named':
      return planNamedConda(choice, env);
    case 'venv': {
      const { wheels } = spec;
      return await planVenv({ ...inPlace, choice, wheels, env, interpreter: await interpreter(spec.python) });
    }
    case 'path':
      return planExistingPython(choice, await interpreter(choice.python));
    case 'system':
      return planExistingPython(choice, await interpreter(spec.python));
  }
}

/** The package of a spec in its snapshot. */
export function packageInPlace(spec: Pick<PinnedSpec, 'packageName' | 'package'>): PackageInPlace {
  const { packageName } = spec;
  return {
    packageName,
    packageDir: join(spec.package.snapshotDir, 'algopkg', packageName),
    packageHash: spec.package.hash,
  };
}
