import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { packageHash } from '../lib/content/manifest.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import { digestTree, FileChangedError } from '../lib/file-digests.ts';
import { readIfThere } from '../lib/files.ts';
import { listTree, TreeError, type TreeFile } from '../lib/tree.ts';
import { compileIgnore, type IsIgnored } from './ignore.ts';
import { PackageError } from './package-error.ts';

export interface PackageSource {
  /** absolute; the folder `algopkg` */
  readonly packagesDir: string;
  readonly packageName: string;
  /** where digests are remembered between runs; without it every file is read each time */
  readonly digestsDir?: string;
}

/** A file of a package with what it held when it was read; the path starts with `algopkg/`. */
export interface PackageFile extends TreeFile {
  readonly sha256: string;
}

export interface PackageContent {
  readonly hash: string;
  readonly files: readonly PackageFile[];
}

/** Of the package's own folder, beside its code; it is no part of the content. */
export const IGNORE_FILE = '.modelserveignore';

const MAX_ENTRIES = 10_000;
const MAX_BYTES = 2 * 1024 ** 3;

/**
 * Lists and hashes what belongs to a package.
 * @throws PackageError when the package is missing, cannot be taken, or changes meanwhile
 */
export async function readPackage(source: PackageSource): Promise<PackageContent> {
  const listed = await listPackage(source);
  const folder = join(source.packagesDir, source.packageName);
  try {
    const files = await digestTree(folder, listed, source.digestsDir ?? null);
    return { hash: packageHash(files), files };
  } catch (error) {
    throw changedOr(error, source.packageName);
  }
}

/** What a file that vanished or was written to while it was read means for the package; other failures stay. */
export function changedOr(error: unknown, packageName: string): unknown {
  if (!(error instanceof FileChangedError) && codeOf(error) !== 'ENOENT') return error;
  return new PackageError(
    `package ${packageName} changed while it was read (${messageOf(error)}); apply again once it is complete`,
    { code: 'PACKAGE_CHANGED', packageName },
    { cause: error },
  );
}

async function listPackage({ packagesDir, packageName }: PackageSource): Promise<readonly TreeFile[]> {
  const folder = join(packagesDir, packageName);
  await checkFolder(folder, packageName);
  const isIgnored = await readIgnoreFile(folder, packageName);
  try {
    const files = await listTree(folder, {
      boundary: await realpath(folder),
      isIgnored: (path, isFolder) => path === IGNORE_FILE || isIgnored(path, isFolder),
      maxEntries: MAX_ENTRIES,
      maxBytes: MAX_BYTES,
    });
    return files.map((file) => ({ ...file, path: `algopkg/${packageName}/${file.path}` }));
  } catch (error) {
    if (!(error instanceof TreeError)) throw changedOr(error, packageName);
    throw new PackageError(
      `package ${packageName} (${folder}): ${error.message}, or name it in ${join(folder, IGNORE_FILE)}`,
      { code: 'PACKAGE_UNUSABLE', packageName },
      { cause: error },
    );
  }
}

async function checkFolder(folder: string, packageName: string): Promise<void> {
  const status = /^[^/\\\0]+$/.test(packageName) ? await stat(folder).catch(() => null) : null;
  if (status?.isDirectory() === true && packageName !== '.' && packageName !== '..') return;
  throw new PackageError(`package ${packageName}: expected a folder at ${folder}, found none`, {
    code: 'PACKAGE_NOT_FOUND',
    packageName,
  });
}

async function readIgnoreFile(folder: string, packageName: string): Promise<IsIgnored> {
  const path = join(folder, IGNORE_FILE);
  const text = await readIfThere(path);
  try {
    return compileIgnore(text ?? '');
  } catch (error) {
    throw new PackageError(
      `${path}: ${messageOf(error)}; see docs/packages.md for what may stand there`,
      { code: 'PACKAGE_IGNORE_FILE', packageName },
      { cause: error },
    );
  }
}
