import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, rename, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PackagePin } from '../cluster/spec/types.ts';
import { mapConcurrently } from '../lib/concurrency.ts';
import { packageHash } from '../lib/content/manifest.ts';
import { codeOf } from '../lib/errors.ts';
import { copyDigested } from '../lib/file-digests.ts';
import {
  changedOr,
  type PackageContent,
  type PackageFile,
  type PackageSource,
  readPackage,
} from './package-content.ts';
import { PackageError } from './package-error.ts';

/** Of folders in the snapshot directory that are being written or deleted. */
export const TEMPORARY_PREFIX = '.tmp-';

const FILES_AT_ONCE = 8;

interface SnapshotSource extends PackageSource {
  /** absolute */
  readonly snapshotsDir: string;
}

/**
 * The pin that a snapshot of the package would have now, without making one.
 * @throws PackageError when the package is missing, cannot be taken, or changes meanwhile
 */
export async function hashPackage(source: SnapshotSource): Promise<PackagePin> {
  return pinOf(await readPackage(source), source);
}

/**
 * Copies a package to `<snapshotsDir>/<hash>/algopkg/<packageName>/…`, read-only and fsynced, so that replicas started
 * from it always run what was applied. One that is there already is used again, without copying.
 * @throws PackageError when the package is missing, cannot be taken, or changes meanwhile
 */
export async function snapshotPackage(source: SnapshotSource): Promise<PackagePin> {
  const content = await readPackage(source);
  const pin = pinOf(content, source);
  await touch(pin.snapshotDir);
  if (await isComplete(pin.snapshotDir, content)) return pin;
  const temporary = join(source.snapshotsDir, TEMPORARY_PREFIX + randomBytes(6).toString('hex'));
  try {
    await mkdir(temporary, { recursive: true });
    await copyContent(content, temporary, source.packageName);
    await moveInto(pin.snapshotDir, temporary, content);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return pin;
}

function pinOf({ hash }: PackageContent, { snapshotsDir }: SnapshotSource): PackagePin {
  return { hash, snapshotDir: join(snapshotsDir, hash) };
}

/** Says that a snapshot is in use again, so that pruning leaves it alone until the revision that names it is recorded. */
async function touch(snapshotDir: string): Promise<void> {
  const now = new Date();
  try {
    await utimes(snapshotDir, now, now);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** The hash is of names and contents, so a folder of that name that has all files in their sizes is the snapshot. */
async function isComplete(snapshotDir: string, { files }: PackageContent): Promise<boolean> {
  const present = await mapConcurrently(files, FILES_AT_ONCE, async (file) => {
    const status = await stat(join(snapshotDir, file.path)).catch(() => null);
    return status?.isFile() === true && status.size === file.sizeBytes;
  });
  return files.length > 0 ? present.every(Boolean) : (await stat(snapshotDir).catch(() => null)) !== null;
}

async function copyContent(
  { hash, files }: PackageContent,
  target: string,
  packageName: string,
): Promise<void> {
  const folders = new Set([join(target, 'algopkg', packageName)]);
  for (const file of files) folders.add(dirname(join(target, file.path)));
  for (const folder of folders) await mkdir(folder, { recursive: true });
  const copied = await copyAll(files, target, packageName);
  if (packageHash(copied) !== hash) {
    const changed = copied.find((file, index) => file.sha256 !== files[index]?.sha256);
    throw new PackageError(
      `package ${packageName} changed while it was copied (${changed?.source}); apply again once it is complete`,
      { code: 'PACKAGE_CHANGED', packageName },
    );
  }
  for (const folder of withParents(folders, target)) await syncFolder(folder);
}

async function copyAll(
  files: readonly PackageFile[],
  target: string,
  packageName: string,
): Promise<readonly PackageFile[]> {
  try {
    const copies = files.map((file) => ({ ...file, target: join(target, file.path) }));
    const digests = await copyDigested(copies);
    return files.map((file, index) => ({ ...file, ...digests[index] }));
  } catch (error) {
    throw changedOr(error, packageName);
  }
}

/** A rename is all or nothing; who else made the same snapshot meanwhile made the same content. */
async function moveInto(snapshotDir: string, temporary: string, content: PackageContent): Promise<void> {
  await chmod(temporary, 0o755);
  try {
    await rename(temporary, snapshotDir);
  } catch (error) {
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error;
    if (await isComplete(snapshotDir, content)) return;
    // Someone took files away from it by hand: the whole one takes its place.
    const damaged = `${temporary}-damaged`;
    await rename(snapshotDir, damaged);
    await rename(temporary, snapshotDir);
    await rm(damaged, { recursive: true, force: true });
  }
  await syncFolder(dirname(snapshotDir));
}

function withParents(folders: ReadonlySet<string>, root: string): ReadonlySet<string> {
  const all = new Set([root]);
  for (const folder of folders) {
    for (let at = folder; at !== root; at = dirname(at)) all.add(at);
  }
  return all;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
