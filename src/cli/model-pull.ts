import { fetchLine } from '../cluster/status/fetch-line.ts';
import { cloudVariables } from '../config/environment.ts';
import { isModelUri, publicUri } from '../config/model-uri.ts';
import type { StatePaths } from '../config/paths.ts';
import { messageOf } from '../lib/errors.ts';
import { silentLog } from '../lib/log.ts';
import { RemoteModels } from '../models/remote-models.ts';
import { cacheOf } from '../roles/model-catalog.ts';
import { sizeText } from './env-list.ts';
import { CommandFailure, ExitCode } from './exit.ts';
import { endProgress, print, printError, printProgress } from './output.ts';

export interface PullOptions {
  readonly uris: readonly string[];
  readonly signal: AbortSignal;
}

const LOOK_MS = 500;

/** `modelserve model pull`: what an apply would have to fetch, fetched before it. */
export async function pullModels(paths: StatePaths, { uris, signal }: PullOptions): Promise<ExitCode> {
  const name = uris.find((uri) => !isModelUri(uri));
  if (name !== undefined) {
    throw new CommandFailure(
      `${name} is no URI: what lies below Model_ZOO is taken by the apply itself`,
      ExitCode.usage,
    );
  }
  const { store, cache } = cacheOf(paths);
  const remote = new RemoteModels(
    { variables: cloudVariables(), partialDir: paths.partial, digestsDir: paths.digests },
    { store, room: cache, log: silentLog },
  );
  const telling = setInterval(() => {
    for (const fetch of remote.running) printProgress(fetchLine(fetch));
  }, LOOK_MS);
  try {
    let isComplete = true;
    for (const uri of uris) if (!(await pullOne(remote, uri, signal))) isComplete = false;
    return isComplete ? ExitCode.done : ExitCode.failed;
  } finally {
    clearInterval(telling);
    await remote.stop();
  }
}

/** @returns false when it could not be had, which has been said */
async function pullOne(remote: RemoteModels, uri: string, signal: AbortSignal): Promise<boolean> {
  const beganMs = performance.now();
  try {
    const isHere = (await remote.obtain(uri, { isDryRun: true, signal })).content.root !== '';
    const { pin } = await remote.obtain(uri, { isDryRun: false, signal });
    endProgress();
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
    const how = isHere ? 'is here already' : `fetched in ${seconds} s`;
    print(`${publicUri(uri)}: ${how}, ${sizeText(pin.sizeBytes)}, ${pin.sha256}`);
    return true;
  } catch (error) {
    endProgress();
    if (signal.aborted) {
      printError(
        `${publicUri(uri)}: interrupted; what has come stays, and the next fetch goes on from there`,
      );
    } else printError(messageOf(error));
    return false;
  }
}
