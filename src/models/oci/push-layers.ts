import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { FileChangedError } from '../../lib/file-digests.ts';
import { TAR_END, tarHeader, tarPadding } from '../../lib/tar/write-tar.ts';
import type { TreeFile } from '../../lib/tree.ts';
import { MODEL_FOLDER } from './layer-entries.ts';

/** Files that become one layer of an image. */
export type LayerFiles = readonly TreeFile[];

/** A layer as it will be: equal files give equal layers, whoever pushes them, and when. */
export interface PlannedLayer {
  readonly files: LayerFiles;
  readonly digest: string;
  readonly sizeBytes: number;
}

/** From here on a file is worth a layer of its own, which images that share the file share. */
const LARGE_BYTES = 4 * 1024 ** 2;
const READ_BYTES = 1024 ** 2;
/** Some runtimes take no more than 127 layers; some are left for what an image is based on. */
const MAX_LAYERS = 100;

/** Small files together, then a layer for each large one; the smallest of these together where they are too many. */
export function groupFiles(files: readonly TreeFile[]): readonly LayerFiles[] {
  const bySize = [...files].sort((left, right) => right.sizeBytes - left.sizeBytes);
  const large = new Set(bySize.slice(0, MAX_LAYERS - 1).filter(({ sizeBytes }) => sizeBytes >= LARGE_BYTES));
  const small = files.filter((file) => !large.has(file));
  const alone = files.filter((file) => large.has(file)).map((file) => [file]);
  return small.length === 0 ? alone : [small, ...alone];
}

/** Reads the files once, to know what the layer will be called. */
export async function planLayer(files: LayerFiles, signal: AbortSignal): Promise<PlannedLayer> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  for await (const bytes of layerBytes(files)) {
    signal.throwIfAborted();
    hash.update(bytes);
    sizeBytes += bytes.length;
  }
  return { files, digest: `sha256:${hash.digest('hex')}`, sizeBytes };
}

/**
 * The tar of a layer, without compression: weights do not get smaller, and unpacking them takes longer than fetching them.
 * @throws FileChangedError when a file is not as long as it was listed
 */
export async function* layerBytes(files: LayerFiles): AsyncGenerator<Buffer> {
  for (const path of foldersOf(files)) yield tarHeader({ path, kind: 'folder', sizeBytes: 0 });
  for (const { path, source, sizeBytes } of files) {
    yield tarHeader({ path: `${MODEL_FOLDER}/${path}`, kind: 'file', sizeBytes });
    let left = sizeBytes;
    for await (const chunk of createReadStream(source, { highWaterMark: READ_BYTES })) {
      left -= (chunk as Buffer).length;
      if (left < 0) break;
      yield chunk as Buffer;
    }
    if (left !== 0) throw changed(source);
    yield tarPadding(sizeBytes);
  }
  yield TAR_END;
}

/** The model folder and those of the files, each before what is in it. */
function foldersOf(files: LayerFiles): readonly string[] {
  const folders = new Set([MODEL_FOLDER]);
  for (const { path } of files) {
    const segments = path.split('/').slice(0, -1);
    segments.forEach((_, index) => {
      folders.add([MODEL_FOLDER, ...segments.slice(0, index + 1)].join('/'));
    });
  }
  return [...folders].sort();
}

function changed(path: string): FileChangedError {
  return new FileChangedError(`${path} changed while it was read; push again once it is complete`, {
    code: 'FILE_CHANGED',
    path,
  });
}
