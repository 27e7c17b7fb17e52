import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import type { NodeValues } from '../../config/node-values.ts';
import { completeSpec } from '../../config/pin.ts';
import { hashOf } from '../../lib/hash.ts';
import type { Progress } from '../../lib/shared-work.ts';
import { checkAccess } from '../run-as/places.ts';
import { baseEnvFor, findUser, type User } from '../run-as/user.ts';
import { checkImport } from './import-check.ts';
import { launchFor, launchOf } from './launch-content.ts';
import type { ModulesEntry } from './npm.ts';
import { type BuildPlace, type Obtained, obtainEnvironment } from './obtain.ts';
import { isRemembered, remember } from './passed-checks.ts';
import type { Env, PackageInPlace, PythonEntry } from './plan.ts';
import { PreparationError } from './preparation-error.ts';
import { type Machine, packageInPlace, planEnvironment } from './prepare-environment.ts';
import { stageCode } from './stage.ts';

/** Makes it safe for a program to open the models; returns what its environment needs beside its own. */
export type EnterModels = (program: Pick<PreparedBackend, 'command' | 'env'>) => Promise<Env>;

export interface PrepareOptions extends Machine, BuildPlace {
  /** staged code and launch files: StatePaths.stage */
  readonly stageDir: string;
  /** entry files of the runners */
  readonly runners: { readonly python: string; readonly javascript: string };
  /** of modelserve: another one's import check says nothing about this one's runner */
  readonly version: string;
  /** what conf.ini only names */
  readonly values: NodeValues;
  /** lets other users than the node's through to what backends read; not given: they get there */
  readonly openStateDir?: () => Promise<void>;
  /** asked before the backend is imported; not given: all models are whole */
  readonly enter?: EnterModels;
}

/** How to start a backend: the path of the launch file is the last argument to add. */
export interface PreparedBackend {
  readonly command: string;
  readonly args: readonly string[];
  /** who runs it; null: whoever the node runs as */
  readonly user: User | null;
  /** whole environment but for what depends on the replica's GPUs */
  readonly env: Env;
  /** holds `algopkg/<package>/`: the launch file's `code_dir` */
  readonly codeDir: string;
  /** folders that were built for it: it is good as long as they are there */
  readonly folders: readonly string[];
}

/**
 * Makes everything ready that a backend needs beside its package and models, which are on this node by now: environment,
 * code, and an import check in that environment. What was built before is found again by its content.
 * @throws PreparationError saying what to do, with the tool's or the backend's own output
 */
export async function prepareBackend(
  recorded: PinnedSpec,
  options: PrepareOptions,
  progress: Progress,
): Promise<PreparedBackend> {
  const spec = completeSpec(recorded); // it may be from before an upgrade
  const inPlace = packageInPlace(spec);
  if (!existsSync(inPlace.packageDir)) {
    throw new PreparationError(
      'SNAPSHOT_MISSING',
      `${inPlace.packageDir} is not there: the snapshot ${spec.package.hash} has no package of that name; apply again`,
    );
  }
  const user = spec.runAs === null ? null : await findUser(spec.runAs, options.baseEnv);
  const { language, plan } = await planEnvironment(spec, inPlace, options);
  const preparation = { spec, user, inPlace, options, progress };
  const backend =
    language === 'python'
      ? enterPython(preparation, await obtainEnvironment(plan, inPlace, options, progress))
      : await enterJavascript(preparation, await obtainEnvironment(plan, inPlace, options, progress));
  if (user !== null) await openFor(user, spec, backend, options);
  await checkOnce({ spec, options, progress }, backend);
  return backend;
}

/** @throws PreparationError RUN_AS when the user cannot read what it is to run */
async function openFor(
  user: User,
  spec: PinnedSpec,
  { command, args, codeDir, env }: PreparedBackend,
  options: PrepareOptions,
): Promise<void> {
  await options.openStateDir?.();
  const models = spec.modelPins.map(({ name }) => join(spec.modelRoot, name));
  const paths = [spec.projectDir, command, ...args, join(codeDir, 'algopkg', spec.packageName), ...models];
  await checkAccess(user, paths, env);
}

function enterPython(
  { spec, user, options: { runners, baseEnv, values } }: Entering,
  { entry, folder }: Obtained<PythonEntry>,
): PreparedBackend {
  return {
    user,
    command: entry.python,
    args: [runners.python],
    env: { ...baseEnvFor(user, baseEnv), ...entry.env, PYTHONUNBUFFERED: '1', ...values.environmentOf(spec) },
    codeDir: spec.package.snapshotDir,
    folders: folder === null ? [] : [folder],
  };
}

interface Preparation {
  readonly spec: PinnedSpec;
  readonly options: PrepareOptions;
  readonly progress: Progress;
}

interface Entering extends Preparation {
  readonly user: User | null;
  readonly inPlace: PackageInPlace;
}

async function enterJavascript(
  { spec, user, inPlace, options, progress }: Entering,
  { entry: { modules }, folder }: Obtained<ModulesEntry>,
): Promise<PreparedBackend> {
  const { nodePath, stageDir, baseEnv, runners, values } = options;
  const staged = await stageCode(inPlace, modules, { stageDir, progress, user });
  const bin = join(staged.codeDir, 'algopkg', spec.packageName, 'node_modules', '.bin');
  return {
    user,
    command: nodePath,
    args: [runners.javascript],
    env: {
      ...baseEnvFor(user, baseEnv),
      PATH: [bin, dirname(nodePath), baseEnv['PATH'] ?? ''].join(delimiter),
      ...values.environmentOf(spec),
    },
    codeDir: staged.codeDir,
    folders: folder === null ? [staged.folder] : [folder, staged.folder],
  };
}

/** A check that has passed is remembered for environments whose content is known: the same would come of it again. */
async function checkOnce({ spec, options, progress }: Preparation, backend: PreparedBackend): Promise<void> {
  const { stageDir, version, enter } = options;
  const { command, args, user, folders } = backend;
  const key = hashOf({ version, preparation: preparationKey(spec), command, args, folders });
  if (folders.length > 0 && (await isRemembered(stageDir, key))) return;
  const entry = (await enter?.(backend)) ?? {};
  progress.onProgress('checking that the backend can be imported');
  await checkImport({
    ...backend,
    env: { ...backend.env, ...entry },
    cwd: spec.projectDir,
    launch: launchFor(user, launchOf(spec, backend.codeDir, stageDir)),
    packageName: spec.packageName,
    language: spec.language,
    needsGpu: spec.gpuMilli > 0,
    stageDir,
    signal: progress.signal,
  });
  if (folders.length > 0) await remember(stageDir, key);
}

/** Equal for specs whose preparation has the same result: they share one. */
export function preparationKey(spec: PinnedSpec): string {
  const { language, packageName, backend, python, environment, wheels, env } = spec;
  const { modelPins, modelRoot, projectDir, gpuMilli } = spec;
  return hashOf({
    ...{
      language,
      packageName,
      backend,
      python,
      environment: environment ?? null,
      wheels: wheels ?? null,
      env,
    },
    ...{ modelPins, modelRoot, projectDir, gpuMilli },
    agents: Object.entries(spec.agents ?? {}),
    package: spec.package,
    ...(spec.runAs == null ? {} : { runAs: spec.runAs }), // a record of an earlier version has none
  });
}
