import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Filler } from '../models/filling/filler.ts';
import type { RemoteFile } from '../models/sources/types.ts';
import type { Connector } from './connector.ts';
import { emptyDirectory, requireDirectory } from './local-directory.ts';
import { makeSparseFile } from './memory-folder.ts';

export interface DirectoryOptions {
  /** `oss://bucket/folder`, with or without a slash at the end */
  readonly uri: string;
  /** absolute; what is in it is removed */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** A file of a folder in OSS. */
export interface FolderFile {
  /** below the folder, with slashes */
  readonly path: string;
  readonly file: RemoteFile;
}

/** A folder whose small files are there. */
export interface PreparedDirectory {
  /** without links */
  readonly directory: string;
  /** ordered by path; nothing of them is there yet */
  readonly large: readonly FolderFile[];
}

/** Configurations, tokenizers and indices are smaller; files with weights are larger. */
const SMALL_BYTES = 16 * 1024 ** 2;
const CHUNK_BYTES = 8 * 1024 ** 2;
/** A file has its own name once it is whole. */
const PART_PREFIX = '.modelserve-part-';

/** Makes a local folder of a folder in OSS, and fetches all of it: small files first, the others in the order of their names. */
export async function prepareDirectory(connector: Connector, options: DirectoryOptions): Promise<void> {
  const directory = await requireDirectory(options.directory);
  const { small, large } = bySize(await connector.listFolder(options.uri, options.signal));
  await emptyDirectory(directory);
  await fetchFiles(connector, directory, { files: [...small, ...large], signal: options.signal });
}

/** Makes a local folder of a folder in OSS, and fetches its small files. */
export async function prepareSmallFiles(
  connector: Connector,
  options: DirectoryOptions,
): Promise<PreparedDirectory> {
  const directory = await requireDirectory(options.directory);
  const { small, large } = bySize(await connector.listFolder(options.uri, options.signal));
  await emptyDirectory(directory);
  await fetchFiles(connector, directory, { files: small, signal: options.signal });
  return { directory, large };
}

/** Fetches files to where they belong below a folder. @throws what the store says of the first that fails */
async function fetchFiles(
  connector: Connector,
  directory: string,
  { files, signal }: { readonly files: readonly FolderFile[]; readonly signal: AbortSignal },
): Promise<void> {
  const targets = files.map(({ path, file }) => ({
    ...{ remote: file, target: join(directory, path) },
    path: join(directory, dirname(path), `${PART_PREFIX}${basename(path)}`),
  }));
  const targetOf = new Map(targets.map(({ path, target }) => [path, target]));
  const filler = new Filler(connector.source, {
    ...{ connections: connector.connections, chunkBytes: CHUNK_BYTES },
    onFile: async (path, error) => {
      if (error === null) await rename(path, targetOf.get(path) ?? path);
    },
  });
  try {
    for (const { remote, path } of targets) {
      await mkdir(dirname(path), { recursive: true });
      makeSparseFile(path, remote.sizeBytes ?? 0);
    }
    filler.add(targets);
    await Promise.all(targets.map(async ({ path }) => await filler.whenFile(path, signal)));
  } finally {
    await filler.stop();
    for (const { path } of targets) await rm(path, { force: true });
  }
}

function bySize(files: readonly FolderFile[]): Record<'small' | 'large', readonly FolderFile[]> {
  const isSmall = ({ file }: FolderFile): boolean => (file.sizeBytes ?? 0) <= SMALL_BYTES;
  return { small: files.filter(isSmall), large: files.filter((one) => !isSmall(one)) };
}
