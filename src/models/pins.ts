import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { ModelPin } from '../cluster/spec/types.ts';
import { isModelUri, publicUri } from '../config/model-uri.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import type { StoredContent } from '../lib/content/content-store.ts';
import { folderHash, totalBytesOf } from '../lib/content/manifest.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { cachedDigest, digestTree } from '../lib/file-digests.ts';
import { isWithin, listTree, TreeError } from '../lib/tree.ts';

/** A model that cannot be pinned; the message names the file and what to do about it. */
export class ModelError extends ServeError<{
  readonly code: 'MODEL_NOT_FOUND' | 'MODEL_OUTSIDE' | 'MODEL_UNUSABLE' | 'MODEL_NO_ROOM';
  readonly model: string;
}> {
  override readonly name = 'ModelError';
}

interface PinOptions {
  /** absolute; the folder `Model_ZOO` */
  readonly modelRoot: string;
  /** as written in conf.ini: files, or folders that are models, relative to the model folder; URIs */
  readonly models: readonly string[];
  /** where digests are remembered between runs, so that an unchanged model is not read again */
  readonly digestsDir: string;
}

/** Gets what a URI names. */
export type FetchModel = (uri: string) => Promise<ReadModel>;

/** For whom only files below Model_ZOO are asked for. */
const fetchNothing: FetchModel = async (uri) => {
  throw new ModelError(`${publicUri(uri)}: only files below Model_ZOO are read here`, {
    code: 'MODEL_UNUSABLE',
    model: publicUri(uri),
  });
};

/** Of one model. */
export const MAX_FILES_IN_A_FOLDER = 10_000;
/** Enough to keep a disk and two cores busy. */
const FILES_AT_ONCE = 4;

/** A model as a revision pins it, and where its files lie now. */
export interface ReadModel {
  readonly pin: ModelPin;
  /** nothing ('' and no files) of what has not come yet */
  readonly content: StoredContent;
  /** why it does not come while it is loaded, though it is meant to; null or not given: it does, or is here */
  readonly unstreamed?: string | null;
}

/**
 * Size and SHA-256 of each model, in the order given. A folder's hash is over the names and hashes of its files.
 * @throws ModelError when one is missing, or leads out of the model folder; FileChangedError when one is written to
 * while it is read; what `fetch` throws
 */
export async function readModels(
  options: PinOptions,
  fetch: FetchModel = fetchNothing,
): Promise<readonly ReadModel[]> {
  if (options.models.length === 0) return [];
  const boundary = await realpath(options.modelRoot).catch(() => options.modelRoot);
  return mapConcurrently(options.models, FILES_AT_ONCE, async (name) => {
    if (isModelUri(name)) return await fetch(name);
    const root = await locate(name, boundary);
    if ((await stat(root)).isDirectory())
      return await readFolder(name, root, { ...options, modelRoot: boundary });
    const digest = await cachedDigest(root, options.digestsDir);
    const files = [{ path: '', executable: false, ...digest }];
    return { pin: { name, ...digest }, content: { hash: digest.sha256, root, files } };
  });
}

async function locate(model: string, boundary: string): Promise<string> {
  if (model === '' || isAbsolute(model) || model.split(/[/\\]/).includes('..')) {
    throw new ModelError(
      `model ${JSON.stringify(model)}: expected the name of a file or folder below ${boundary}, without ".." in it`,
      { code: 'MODEL_OUTSIDE', model },
    );
  }
  const path = join(boundary, model);
  let target: string;
  try {
    target = await realpath(path);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    throw new ModelError(
      `model ${model}: expected a file or folder at ${path}, found none; put it there or correct the name`,
      { code: 'MODEL_NOT_FOUND', model },
    );
  }
  if (isWithin(boundary, target)) return target;
  throw new ModelError(
    `model ${model}: ${path} is a symlink out of the model folder, to ${target}; put the file itself there`,
    { code: 'MODEL_OUTSIDE', model },
  );
}

async function readFolder(name: string, root: string, options: PinOptions): Promise<ReadModel> {
  const listed = await filesOf(name, root, options.modelRoot);
  const files = await digestTree(root, listed, options.digestsDir);
  const hash = folderHash(files);
  return {
    pin: { name, sizeBytes: totalBytesOf(files), sha256: hash },
    content: { hash, root, files },
  };
}

async function filesOf(model: string, path: string, boundary: string): ReturnType<typeof listTree> {
  try {
    return await listTree(path, {
      boundary,
      isIgnored: () => false,
      maxEntries: MAX_FILES_IN_A_FOLDER,
      maxBytes: Number.POSITIVE_INFINITY,
    });
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    throw new ModelError(
      `model ${model} (${path}): ${error.message}`,
      { code: 'MODEL_UNUSABLE', model },
      { cause: error },
    );
  }
}
