import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { ContentStore } from '../../../src/lib/content/content-store.ts';
import { diskRoom } from '../../../src/lib/content/room.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { RemoteModels } from '../../../src/models/remote-models.ts';
import type { ComingModel } from '../../../src/models/streaming/coming-model.ts';
import { Listings } from '../../../src/models/streaming/listings.ts';
import { ModelStreams } from '../../../src/models/streaming/model-streams.ts';
import { ServerOrigin } from '../../../src/models/streaming/stream-origin.ts';
import { tempDir } from '../../support/temp-dir.ts';

const IMPATIENT = { attempts: 2, backoffMs: 5, silenceMs: 5_000 };

/** What a head has of models that are streamed, in a folder of its own; `root` of an earlier one: after a restart. */
export function streamingPlace(
  root: string = tempDir(),
  options: { readonly memoryDir?: string; readonly idleMs?: number } = {},
) {
  const folder = (name: string): string => join(root, name);
  const listings = new Listings(folder('listings'));
  const store = new ContentStore({ recordsDir: folder('contents'), filesDir: folder('models') });
  const origin = new ServerOrigin({}, listings, { exchange: IMPATIENT, log: silentLog });
  const memoryDir = options.memoryDir ?? folder('memory');
  const placeholders = { protect: async () => undefined, forget: () => undefined };
  const streams = new ModelStreams(
    { partialDir: folder('partial'), memoryDir, connections: 4, idleMs: options.idleMs ?? 60_000 },
    { listings, store, room: diskRoom(1024 ** 2), origins: [origin], placeholders, log: silentLog },
  );
  const remote = new RemoteModels(
    { variables: {}, partialDir: folder('partial'), digestsDir: folder('digests'), exchange: IMPATIENT },
    { store, streaming: { listings, streams }, log: silentLog },
  );
  onTestFinished(async () => {
    await streams.stop();
    await origin.close();
    await remote.stop();
  });
  const signal = AbortSignal.timeout(60_000);
  return {
    ...{ root, memoryDir, listings, store, streams },
    pin: async (uri: string, isDryRun = false) =>
      (await remote.obtain(uri, { isDryRun, isStreamed: true, signal })).pin,
    obtain: async (uri: string) => await remote.obtain(uri, { isDryRun: false, signal }),
  };
}

/** Begins to fetch what a pin names. */
export async function coming(streams: ModelStreams, listing: string | undefined): Promise<ComingModel> {
  const streamed = await streams.join(listing ?? expect.fail('it has no listing'));
  return streamed.kind === 'coming' ? streamed.model : expect.fail(`it is ${streamed.kind}`);
}
