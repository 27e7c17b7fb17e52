import { type FileUri, publicUri } from '../config/model-uri.ts';
import { checkManifest } from '../lib/content/manifest.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import { hashOf } from '../lib/hash.ts';
import { listFast } from './listing/list-fast.ts';
import { MAX_FILES_IN_A_FOLDER, ModelError } from './pins.ts';
import type { ModelSource, RemoteFile } from './sources/types.ts';

/** What a URI names, as the server has it now. */
export interface RemoteListing {
  /** sorted by path; of a single file the path is '' */
  readonly files: readonly { readonly path: string; readonly file: RemoteFile }[];
  /** null where a file's size is only known when it has come */
  readonly totalBytes: number | null;
  /** changes whenever the content does; null where the server says nothing that tells */
  readonly fingerprint: string | null;
}

/**
 * A file, or all files of a folder. What ends in a slash is a folder; what does not is a file where there is one, else a folder.
 * @throws ModelError when nothing is there, or what is there cannot be files below a folder; SourceError
 */
export async function listRemote(
  uri: FileUri,
  source: ModelSource,
  signal: AbortSignal,
): Promise<RemoteListing> {
  const isFolder = uri.key === '' || uri.key.endsWith('/');
  const file = isFolder ? null : await source.stat(uri.key, signal);
  if (file !== null) return listingOf([{ path: '', file }]);
  const mayBeFolder = source.canList && !uri.isArchive;
  const files = mayBeFolder ? await filesBelow(uri, source, signal) : [];
  if (files.length === 0) {
    const folder = mayBeFolder ? ', and no folder of that name' : '';
    throw new ModelError(`${publicUri(uri.text)}: the server has no such file${isFolder ? '' : folder}`, {
      code: 'MODEL_NOT_FOUND',
      model: publicUri(uri.text),
    });
  }
  return listingOf(files);
}

/** A folder of one page takes one request; more pages come together. */
const LIST_REQUESTS = 8;

async function filesBelow(
  uri: FileUri,
  source: ModelSource,
  signal: AbortSignal,
): Promise<RemoteListing['files']> {
  const prefix = uri.key === '' ? '' : `${uri.key.replace(/\/$/, '')}/`;
  let files: RemoteListing['files'][number][] = [];
  const take = (page: readonly RemoteFile[]): void => {
    for (const file of page) {
      // A key that ends in a slash stands for a folder in consoles, and holds nothing.
      if (!file.key.endsWith('/')) files.push({ path: file.key.slice(prefix.length), file });
    }
    if (files.length > MAX_FILES_IN_A_FOLDER) {
      throw unusable(uri, `more than ${MAX_FILES_IN_A_FOLDER} files; name a folder that is one model`);
    }
  };
  try {
    await listFast(source, prefix, { workers: LIST_REQUESTS, signal }, take);
  } catch (error) {
    if (codeOf(error) !== 'SOURCE_ORDER') throw error;
    files = [];
    for await (const page of source.list(prefix, signal)) take(page);
  }
  try {
    checkManifest(
      files.map(({ path, file }) => ({
        ...{ path, executable: false, sha256: '0'.repeat(64) },
        sizeBytes: file.sizeBytes ?? 0,
      })),
    );
  } catch (error) {
    throw unusable(uri, messageOf(error));
  }
  return files.sort((left, right) => (left.path < right.path ? -1 : 1));
}

function listingOf(files: RemoteListing['files']): RemoteListing {
  const known = files.every(({ file }) => file.version !== null && file.sizeBytes !== null);
  const seen = files.map(({ path, file }) => [path, file.sizeBytes, file.version]);
  const sizes = files.map(({ file }) => file.sizeBytes);
  return {
    files,
    totalBytes: sizes.includes(null) ? null : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0),
    fingerprint: known ? hashOf(seen) : null,
  };
}

function unusable(uri: FileUri, what: string): ModelError {
  const model = publicUri(uri.text);
  return new ModelError(`${model}: ${what}`, { code: 'MODEL_UNUSABLE', model });
}
