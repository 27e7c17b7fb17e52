import { realpath } from 'node:fs/promises';
import type { Variables } from '../../config/environment.ts';
import type { ImageReference } from '../../config/image-reference.ts';
import { listTree, type TreeFile } from '../../lib/tree.ts';
import { MAX_FILES_IN_A_FOLDER, ModelError } from '../pins.ts';
import { Exchange } from '../sources/exchange.ts';
import { openBase } from './base-image.ts';
import { type Pushed, type PushProgress, pushImage } from './push-image.ts';
import { Registry } from './registry.ts';
import { registryOrigin } from './registry-origin.ts';

export interface PushModelOptions {
  /** the folder that is the model */
  readonly folder: string;
  /** where it goes, by tag */
  readonly image: ImageReference;
  /** what it is put on; null: nothing */
  readonly base: ImageReference | null;
  /** where credentials are looked for */
  readonly variables: Variables;
  readonly onProgress: (progress: PushProgress) => void;
  readonly signal: AbortSignal;
}

/**
 * Makes an image of a folder and brings it into a registry; of what the registry has already, nothing is sent.
 * @throws ModelError for an empty folder, TreeError, SourceError; the signal's reason
 */
export async function pushModel(options: PushModelOptions): Promise<Pushed> {
  const { image, base, variables, onProgress, signal } = options;
  const files = await filesOf(options.folder);
  const exchange = new Exchange(variables);
  try {
    const registryOf = async (of: ImageReference, actions: 'pull' | 'pull,push'): Promise<Registry> =>
      new Registry(
        { image: of, origin: registryOrigin(of.registry, variables), variables, actions },
        exchange,
      );
    const below =
      base === null
        ? null
        : await openBase(await registryOf(base, 'pull'), base.digest ?? base.tag ?? 'latest', signal);
    const registry = await registryOf(image, 'pull,push');
    return await pushImage(registry, { image, files, base: below, onProgress, signal });
  } finally {
    await exchange.close();
  }
}

async function filesOf(folder: string): Promise<readonly TreeFile[]> {
  const root = await realpath(folder);
  const files = await listTree(root, {
    ...{ boundary: root, isIgnored: () => false },
    ...{ maxEntries: MAX_FILES_IN_A_FOLDER, maxBytes: Number.POSITIVE_INFINITY },
  });
  if (files.length > 0) return files;
  throw new ModelError(`${folder}: expected a folder with the files of a model, found none in it`, {
    code: 'MODEL_UNUSABLE',
    model: folder,
  });
}
