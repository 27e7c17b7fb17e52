import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelPin, PackagePin } from '../../cluster/spec/types.ts';
import type { StoredContent } from '../../lib/content/content-store.ts';
import { type ContentFile, folderHash, packageHash } from '../../lib/content/manifest.ts';
import { codeOf } from '../../lib/errors.ts';
import { cachedDigest, digestTree } from '../../lib/file-digests.ts';
import { listTree, TreeError } from '../../lib/tree.ts';

const MAX_ENTRIES = 100_000;

/**
 * A package that lies where the head has it: nodes share that folder. It is read once to make sure.
 * @returns null when nothing is there, or something else
 */
export async function packageInPlace(pin: PackagePin, digestsDir: string): Promise<StoredContent | null> {
  const files = await filesBelow(pin.snapshotDir, pin.snapshotDir, digestsDir);
  if (files === null || packageHash(files) !== pin.hash) return null;
  return { hash: pin.hash, root: pin.snapshotDir, files };
}

/** As packageInPlace, for a model: a file or a folder in the head's model folder. */
export async function modelInPlace(
  modelRoot: string,
  pin: ModelPin & { readonly sha256: string },
  digestsDir: string,
): Promise<StoredContent | null> {
  const root = join(modelRoot, pin.name);
  const status = await stat(root).catch(() => null);
  if (status === null) return null;
  if (status.isDirectory()) {
    const files = await filesBelow(root, modelRoot, digestsDir);
    return files !== null && folderHash(files) === pin.sha256 ? { hash: pin.sha256, root, files } : null;
  }
  if (status.size !== pin.sizeBytes) return null;
  const digest = await unlessChanging(cachedDigest(root, digestsDir));
  if (digest?.sha256 !== pin.sha256) return null;
  return { hash: pin.sha256, root, files: [{ path: '', executable: false, ...digest }] };
}

/** @returns null when there is no such folder, or it cannot be read as it is */
async function filesBelow(
  folder: string,
  boundary: string,
  digestsDir: string,
): Promise<readonly ContentFile[] | null> {
  try {
    const listed = await listTree(folder, {
      boundary: await realpath(boundary),
      isIgnored: () => false,
      maxEntries: MAX_ENTRIES,
      maxBytes: Number.POSITIVE_INFINITY,
    });
    return await digestTree(folder, listed, digestsDir);
  } catch (error) {
    if (error instanceof TreeError || isAway(error)) return null;
    throw error;
  }
}

async function unlessChanging<Result>(reading: Promise<Result>): Promise<Result | null> {
  try {
    return await reading;
  } catch (error) {
    if (isAway(error)) return null;
    throw error;
  }
}

/** Gone, not ours to read, or being written to: then it is not what the revision names. */
function isAway(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'FILE_CHANGED'].includes(codeOf(error) ?? '');
}
