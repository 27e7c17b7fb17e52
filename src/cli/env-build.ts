import { resolve } from 'node:path';
import pc from 'picocolors';
import { environmentHere } from '../agent/environments/node-software.ts';
import { obtainEnvironment } from '../agent/environments/obtain.ts';
import { PreparationError } from '../agent/environments/preparation-error.ts';
import { type Machine, packageInPlace, planEnvironment } from '../agent/environments/prepare-environment.ts';
import type { DeploymentSpec } from '../cluster/spec/types.ts';
import { type CompiledConf, compileConf } from '../config/compile.ts';
import { renderFinding } from '../config/finding.ts';
import type { StatePaths } from '../config/paths.ts';
import { type Progress, SharedWork } from '../lib/shared-work.ts';
import { readDependencyFiles } from '../packages/dependency-files.ts';
import { snapshotPackage } from '../packages/snapshot.ts';
import { backendPrograms } from '../roles/backend-programs.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print, printError } from './output.ts';

export interface BuildOptions {
  readonly conf: string;
  /** empty: all */
  readonly packages: readonly string[];
  readonly signal: AbortSignal;
}

/** `modelserve env build`: what an apply would have to build on this node, built before it. */
export async function buildEnvironments(paths: StatePaths, options: BuildOptions): Promise<ExitCode> {
  const conf = await compiledConf(options.conf);
  const specs = wantedSpecs(conf, options);
  const progress: Progress = {
    onProgress: (line) => printError(pc.dim(`  ${line}`)),
    signal: options.signal,
  };
  let isComplete = true;
  for (const spec of specs) {
    try {
      print(`${pc.bold(spec.name)}: ${await buildOne({ spec, conf, paths }, progress)}`);
    } catch (error) {
      // its output has been shown
      if (!(error instanceof PreparationError)) throw error;
      printError(pc.red(`${spec.name}: ${error.message}`));
      isComplete = false;
    }
  }
  return isComplete ? ExitCode.done : ExitCode.failed;
}

async function compiledConf(path: string): Promise<CompiledConf> {
  const compiled = await compileConf(resolve(path));
  if (compiled.ok) return compiled.conf;
  throw new CommandFailure(compiled.mistakes.map(renderFinding).join('\n'), ExitCode.usage);
}

function wantedSpecs(conf: CompiledConf, { packages }: BuildOptions): readonly DeploymentSpec[] {
  const known = new Set(conf.deployments.map(({ packageName }) => packageName));
  const unknown = packages.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new CommandFailure(
      `${conf.confPath} deploys no package ${unknown}; it deploys ${[...known].join(', ') || 'none'}`,
      ExitCode.usage,
    );
  }
  return conf.deployments.filter(
    ({ packageName }) => packages.length === 0 || packages.includes(packageName),
  );
}

/** @returns what the environment is */
async function buildOne(
  {
    spec,
    conf,
    paths,
  }: { readonly spec: DeploymentSpec; readonly conf: CompiledConf; readonly paths: StatePaths },
  progress: Progress,
): Promise<string> {
  const { packagesDir, projectDir } = conf;
  const { packageName } = spec;
  const { snapshots: snapshotsDir, digests: digestsDir } = paths;
  const pin = await snapshotPackage({ packagesDir, packageName, snapshotsDir, digestsDir });
  const inPlace = packageInPlace({ packageName, package: pin });
  const machine: Machine = backendPrograms();
  const place = { environmentsDir: paths.environments, builds: new SharedWork<string>() };
  const files = await readDependencyFiles(inPlace.packageDir);
  const environment = environmentHere(spec, files, machine.baseEnv);
  const { language, plan } = await planEnvironment({ ...spec, environment, projectDir }, inPlace, machine);
  await (language === 'python'
    ? obtainEnvironment(plan, inPlace, place, progress)
    : obtainEnvironment(plan, inPlace, place, progress));
  return plan.description;
}
