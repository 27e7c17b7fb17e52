import { link, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { mapConcurrently } from '../../lib/concurrency.ts';
import type { ContentStore, StoredContent } from '../../lib/content/content-store.ts';
import { checkManifest, folderHash } from '../../lib/content/manifest.ts';
import type { ComposedFile } from './compose.ts';

const FILES_AT_ONCE = 8;

/**
 * Puts files where models are kept, as further names of what has been unpacked.
 * @param from `tree`: a folder for the names on their way, on the same disk as all; `pathOf`: where the bytes of a file are
 * @throws ManifestError for names that cannot be below a folder
 */
export async function keepComposed(
  files: readonly ComposedFile[],
  { tree, pathOf }: { readonly tree: string; readonly pathOf: (file: ComposedFile) => string },
  store: ContentStore,
): Promise<StoredContent> {
  const manifest = files.map(({ path, sizeBytes, sha256 }) => ({
    ...{ path, sizeBytes, sha256, executable: false },
  }));
  checkManifest(manifest);
  const hash = folderHash(manifest);
  const known = await store.find(hash);
  const target = store.pathOf(hash);
  if (known?.root === target) return known;
  await rm(tree, { recursive: true, force: true });
  await mapConcurrently(files, FILES_AT_ONCE, async (file) => {
    const path = join(tree, file.path);
    await mkdir(dirname(path), { recursive: true });
    await link(pathOf(file), path);
  });
  await mkdir(dirname(target), { recursive: true });
  await rm(target, { recursive: true, force: true });
  await rename(tree, target);
  return await store.add({ hash, root: target, files: manifest });
}
