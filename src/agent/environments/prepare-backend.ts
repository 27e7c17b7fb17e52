import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { hashOf } from '../../lib/hash.ts';
import type { OnProgress } from './build-once.ts';
import { checkImport } from './import-check.ts';
import { launchOf } from './launch-content.ts';
import { nodeEnvironment } from './node-environment.ts';
import { PreparationError } from './preparation-error.ts';
import { pythonEnvironment } from './python-environment.ts';
import { findInterpreter } from './python-interpreter.ts';

type Env = Readonly<Record<string, string>>;

export interface PrepareOptions {
  /** built environments and staged code: StatePaths.environments and .stage */
  readonly environmentsDir: string;
  readonly stageDir: string;
  /** entry files of the runners */
  readonly runners: { readonly python: string; readonly javascript: string };
  /** the node program for JavaScript backends, and its version */
  readonly nodePath: string;
  readonly nodeVersion: string;
  /** what every child process gets; its PATH is what programs are looked for on */
  readonly baseEnv: Env;
}

/** How to start a backend: the path of the launch file is the last argument to add. */
export interface PreparedBackend {
  readonly command: string;
  readonly args: readonly string[];
  /** whole environment but for what depends on the replica's GPUs */
  readonly env: Env;
  /** holds `algopkg/<package>/`: the launch file's `code_dir` */
  readonly codeDir: string;
}

export interface Progress {
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

/**
 * Makes everything ready that a backend needs beside its package and models, which are on this node by now: environment,
 * code, and an import check in that environment. What was built before is found again by its content.
 * @throws PreparationError saying what to do, with the tool's or the backend's own output
 */
export async function prepareBackend(
  spec: PinnedSpec,
  options: PrepareOptions,
  progress: Progress,
): Promise<PreparedBackend> {
  const packageDir = join(spec.package.snapshotDir, 'algopkg', spec.packageName);
  if (!existsSync(packageDir)) {
    throw new PreparationError(
      'SNAPSHOT_MISSING',
      `${packageDir} is not there: the snapshot ${spec.package.hash} has no package of that name; apply again`,
    );
  }
  const request = {
    packageName: spec.packageName,
    packageDir,
    packageHash: spec.package.hash,
    environmentsDir: options.environmentsDir,
    env: options.baseEnv,
    ...progress,
  };
  const backend =
    spec.language === 'python'
      ? await preparePython(spec, options, request)
      : await prepareJavascript(spec, options, request);
  progress.onProgress('checking that the backend can be imported');
  await checkImport({
    ...backend,
    cwd: spec.projectDir,
    launch: launchOf(spec, backend.codeDir, options.stageDir),
    packageName: spec.packageName,
    language: spec.language,
    needsGpu: spec.gpuMilli > 0,
    stageDir: options.stageDir,
    signal: progress.signal,
  });
  return backend;
}

type Request = Omit<Parameters<typeof pythonEnvironment>[0], 'interpreter'>;

async function preparePython(
  spec: PinnedSpec,
  options: PrepareOptions,
  request: Request,
): Promise<PreparedBackend> {
  const interpreter = await findInterpreter({
    wanted: spec.python,
    projectDir: spec.projectDir,
    env: options.baseEnv,
  });
  const environment = await pythonEnvironment({ ...request, interpreter });
  return {
    command: environment.python,
    args: [options.runners.python],
    env: { ...options.baseEnv, ...environment.env, PYTHONUNBUFFERED: '1', ...spec.env },
    codeDir: spec.package.snapshotDir,
  };
}

async function prepareJavascript(
  spec: PinnedSpec,
  options: PrepareOptions,
  request: Request,
): Promise<PreparedBackend> {
  const { nodePath, nodeVersion, stageDir, baseEnv } = options;
  const codeDir = await nodeEnvironment({ ...request, nodePath, nodeVersion, stageDir });
  const bin = join(codeDir, 'algopkg', spec.packageName, 'node_modules', '.bin');
  return {
    command: nodePath,
    args: [options.runners.javascript],
    env: {
      ...baseEnv,
      PATH: [bin, dirname(nodePath), baseEnv['PATH'] ?? ''].join(delimiter),
      ...spec.env,
    },
    codeDir,
  };
}

/** Equal for specs whose preparation has the same result: they share one. */
export function preparationKey(spec: PinnedSpec): string {
  const { language, packageName, backend, python, env, modelPins, modelRoot, projectDir, gpuMilli } = spec;
  return hashOf({
    ...{ language, packageName, backend, python, env, modelPins, modelRoot, projectDir, gpuMilli },
    package: spec.package,
  });
}
