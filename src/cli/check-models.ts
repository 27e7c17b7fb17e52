import { basename, join } from 'node:path';
import pc from 'picocolors';
import { showModels, viewKey } from '../agent/content/model-view.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import { fetchLine } from '../cluster/status/fetch-line.ts';
import { cloudVariables } from '../config/environment.ts';
import { isModelUri } from '../config/model-uri.ts';
import type { StatePaths } from '../config/paths.ts';
import { ContentStore } from '../lib/content/content-store.ts';
import { silentLog } from '../lib/log.ts';
import { readModels } from '../models/pins.ts';
import { RemoteModels } from '../models/remote-models.ts';
import { printError } from './output.ts';

const FETCHES_TOLD_MS = 3_000;

/** Fetches what URIs name, as a head does, and shows all models in one folder then. */
export async function modelsToCheck(
  names: readonly string[],
  {
    modelRoot,
    paths,
    signal,
  }: { readonly modelRoot: string; readonly paths: StatePaths; readonly signal: AbortSignal },
): Promise<Pick<PinnedSpec, 'modelPins' | 'modelRoot'>> {
  const store = new ContentStore({ recordsDir: paths.contents, filesDir: paths.models });
  const remote = new RemoteModels(
    { variables: cloudVariables(), partialDir: paths.partial, digestsDir: paths.digests },
    { store, log: silentLog },
  );
  const telling = setInterval(() => {
    for (const fetch of remote.running) printError(pc.dim(fetchLine(fetch)));
  }, FETCHES_TOLD_MS);
  try {
    const fetch = async (uri: string) => await remote.obtain(uri, { isDryRun: false, signal });
    const models = await readModels({ modelRoot, models: names, digestsDir: paths.digests }, fetch);
    const modelPins = models.map(({ pin }) => pin);
    if (!names.some(isModelUri)) return { modelPins, modelRoot };
    const view = join(paths.views, viewKey(modelPins), basename(modelRoot));
    await showModels(
      view,
      models.map(({ pin, content }) => ({ name: pin.name, content })),
    );
    return { modelPins, modelRoot: view };
  } finally {
    clearInterval(telling);
    await remote.stop();
  }
}
