import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import pc from 'picocolors';
import { launchOf } from '../agent/environments/launch-content.ts';
import { environmentHere } from '../agent/environments/node-software.ts';
import { PreparationError } from '../agent/environments/preparation-error.ts';
import { type PreparedBackend, prepareBackend } from '../agent/environments/prepare-backend.ts';
import { sizeText } from '../cluster/placement/amounts.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import { defaultStateDir } from '../config/environment.ts';
import { publicUri } from '../config/model-uri.ts';
import { type StatePaths, statePaths } from '../config/paths.ts';
import { pinSpec } from '../config/pin.ts';
import type { JsonValue } from '../lib/json.ts';
import { SharedWork } from '../lib/shared-work.ts';
import { withDetails } from '../lib/text.ts';
import { readDependencyFiles } from '../packages/dependency-files.ts';
import { snapshotPackage } from '../packages/snapshot.ts';
import { backendPrograms } from '../roles/backend-programs.ts';
import { type CheckResult, runOnce } from '../runner/check-client.ts';
import { modelsToCheck } from './check-models.ts';
import { type CheckWish, specToCheck } from './check-section.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { print, printError } from './output.ts';
import { readParam } from './param.ts';

export interface CheckOptions extends CheckWish {
  /** --param; null: the package's example.json where there is one, else {} */
  readonly param: string | null;
  readonly debug: boolean;
  readonly signal: AbortSignal;
}

/** A start may download an environment's packages before; this is for the backend itself. */
const ANSWER_TIMEOUT_MS = 600_000;
const DEBUG_TIMEOUT_MS = 24 * 3_600_000;
const DEBUGPY_PORT = 5678;
const INSPECT_PORT = 9229;

/** `modelserve check`: loads a package in its own environment, without a cluster, calls it and prints what comes of it. */
export async function checkCommand(options: CheckOptions): Promise<ExitCode> {
  const projectDir = resolve('.');
  const { spec, conf } = await specToCheck(projectDir, options);
  const param = await paramOf(options, join(conf.packagesDir, spec.packageName));
  const paths = statePaths(defaultStateDir('head')); // what is built here is there for the head, and the other way round
  const folders = { snapshotsDir: paths.snapshots, digestsDir: paths.digests };
  const files = await readDependencyFiles(join(conf.packagesDir, spec.packageName));
  // Here it runs as whoever checks it.
  const settled = {
    ...spec,
    runAs: null,
    environment: environmentHere(spec, files, backendPrograms().baseEnv),
  };
  const models = await modelsToCheck(spec.models, {
    modelRoot: conf.modelRoot,
    paths,
    signal: options.signal,
  });
  const pinned = pinSpec(settled, {
    package: await snapshotPackage({
      packagesDir: conf.packagesDir,
      packageName: spec.packageName,
      ...folders,
    }),
    ...models,
    projectDir,
  });
  printError(
    pc.dim(
      `${spec.packageName}: class ${spec.backend}, models ${spec.models.map(publicUri).join(', ') || 'none'}`,
    ),
  );
  const { prepared, environment } = await prepare(pinned, paths, options.signal);
  const result = await call(pinned, options.debug ? debugged(prepared, pinned) : prepared, {
    paths,
    param,
    options,
  });
  return report(result, environment);
}

async function prepare(
  spec: PinnedSpec,
  paths: StatePaths,
  signal: AbortSignal,
): Promise<{ readonly prepared: PreparedBackend; readonly environment: string }> {
  const beganMs = performance.now();
  const where = {
    environmentsDir: paths.environments,
    stageDir: paths.stage,
    builds: new SharedWork<string>(),
  };
  let isBuilt = false;
  const onProgress = (line: string) => {
    if (line.startsWith('$ ')) isBuilt = true;
    printError(pc.dim(line));
  };
  try {
    const prepared = await prepareBackend(spec, { ...backendPrograms(), ...where }, { onProgress, signal });
    const took = seconds(performance.now() - beganMs);
    return { prepared, environment: `${isBuilt ? 'built' : 'found'} and import tried in ${took}` };
  } catch (error) {
    // of an environment that cannot be built the output has been shown, of an import it has not
    if (!(error instanceof PreparationError) || error.code !== 'IMPORT_FAILED') throw error;
    throw new CommandFailure(withDetails(error.message, error.data.details), ExitCode.failed, error);
  }
}

async function paramOf(options: CheckOptions, packageDir: string): Promise<JsonValue> {
  const example = join(packageDir, 'example.json');
  const text = await readParam(options.param ?? (existsSync(example) ? `@${example}` : '{}'));
  return JSON.parse(text) as JsonValue;
}

/** The same command under a debugger that listens on loopback and waits for somebody to attach. */
function debugged(prepared: PreparedBackend, spec: PinnedSpec): PreparedBackend {
  if (spec.language === 'python') {
    printError(
      `waiting for a debugger at 127.0.0.1:${DEBUGPY_PORT} (debugpy must be in the package's requirements.txt)`,
    );
    return {
      ...prepared,
      args: ['-m', 'debugpy', '--listen', `127.0.0.1:${DEBUGPY_PORT}`, '--wait-for-client', ...prepared.args],
    };
  }
  printError(`waiting for a debugger at 127.0.0.1:${INSPECT_PORT} (chrome://inspect, or your editor)`);
  return { ...prepared, args: [`--inspect-wait=127.0.0.1:${INSPECT_PORT}`, ...prepared.args] };
}

async function call(
  spec: PinnedSpec,
  prepared: PreparedBackend,
  how: { readonly paths: StatePaths; readonly param: JsonValue; readonly options: CheckOptions },
): Promise<CheckResult> {
  const { paths, param, options } = how;
  const { values } = backendPrograms();
  return await runOnce({
    command: prepared.command,
    args: prepared.args,
    env: prepared.env,
    cwd: spec.projectDir,
    launch: launchOf({ ...spec, userConfig: values.configOf(spec) }, prepared.codeDir, paths.stage),
    request: { method: spec.methods.includes('GET') ? 'GET' : 'POST', param },
    timeoutMs: options.debug ? DEBUG_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
    onOutput: (line) => printError(line),
    signal: options.signal,
  });
}

/** What a person wants to know before this goes into a cluster; on stderr, so that stdout is the answer alone. */
function tellCost(environment: string, { cost }: CheckResult): void {
  if (cost === null) return;
  const { load, callMs, memory } = cost;
  const rows = [
    ['environment', environment],
    ['import', seconds(load.import_ms)],
    ['start', `${seconds(load.construct_ms)} (class and models)`],
    ['call', callMs < 1_000 ? `${callMs.toFixed(1)} ms` : seconds(callMs)],
    ['memory', `${sizeText(memory.residentBytes)}, ${sizeText(memory.peakBytes)} at most`],
  ];
  for (const [name = '', value = ''] of rows) printError(`  ${name.padEnd(12)} ${value}`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function report(result: CheckResult, environment: string): ExitCode {
  if (result.status === null) {
    const traceback = result.traceback.trimEnd();
    if (!result.output.includes(traceback)) printError(traceback);
    printError(pc.red(`failed: ${result.message}`));
    return ExitCode.failed;
  }
  tellCost(environment, result);
  const readable = /json|^text\//.test(result.contentType);
  if (readable) print(result.body.toString('utf8'));
  else print(`${result.contentType}, ${result.body.length} bytes`);
  printError(
    result.ok
      ? pc.green(`passed: ${result.status}`)
      : pc.red(`failed: the backend answered ${result.status}, saying that it failed`),
  );
  return result.ok ? ExitCode.done : ExitCode.failed;
}
