import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { mapConcurrently } from './concurrency.ts';
import { codeOf, ServeError } from './errors.ts';
import { identityOf } from './file-identity.ts';

/** A regular file below a folder. */
export interface TreeFile {
  /** relative to the folder, with `/` between segments */
  readonly path: string;
  /** absolute, symlinks resolved: what to read */
  readonly source: string;
  readonly sizeBytes: number;
  /** its owner may execute it */
  readonly executable: boolean;
  /** changes with every write: see identityOf */
  readonly identity: string;
  /** ms since 1970 */
  readonly changedAtMs: number;
}

interface TreeOptions {
  /** absolute, symlinks resolved: no symlink may lead out of this folder */
  readonly boundary: string;
  /** whether to leave out a file, or a folder with all it holds */
  readonly isIgnored: (path: string, isFolder: boolean) => boolean;
  /** files and folders together */
  readonly maxEntries: number;
  readonly maxBytes: number;
}

/** A folder that cannot be taken as it is; `path` is relative to it and names the entry to change. */
export class TreeError extends ServeError<{
  readonly code:
    | 'TREE_LINK_ESCAPES'
    | 'TREE_LINK_BROKEN'
    | 'TREE_LINK_LOOPS'
    | 'TREE_NOT_A_FILE'
    | 'TREE_FILE_NAME'
    | 'TREE_TOO_LARGE';
  readonly path: string;
}> {
  override readonly name = 'TreeError';
}

/** A walk waits for the disk, entry by entry. */
const ENTRIES_AT_ONCE = 16;

interface Folder {
  /** relative to the root, '' for the root itself */
  readonly path: string;
  readonly source: string;
  /** real paths of the folders it lies in, itself included: a link back to one of them never ends */
  readonly ancestors: readonly string[];
}

interface Found {
  readonly files: TreeFile[];
  entries: number;
  bytes: number;
}

/**
 * All regular files below a folder, sorted by path (code units), so that equal folders give equal lists on every
 * machine. A symlink stands for what it leads to, which has to lie within the boundary.
 * @throws TreeError naming the entry that leaves the boundary, leads nowhere or in a circle, is neither file nor folder,
 * or exceeds a limit
 */
export async function listTree(root: string, options: TreeOptions): Promise<readonly TreeFile[]> {
  const source = await realpath(root);
  const found: Found = { files: [], entries: 0, bytes: 0 };
  await walk({ path: '', source, ancestors: [source] }, found, options);
  return found.files.sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** Whether a path is the folder itself or lies below it; both absolute, with symlinks resolved. */
export function isWithin(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

async function walk(folder: Folder, found: Found, options: TreeOptions): Promise<void> {
  const entries = await readdir(folder.source, { withFileTypes: true });
  await mapConcurrently(entries, ENTRIES_AT_ONCE, async (entry) => {
    const path = folder.path === '' ? entry.name : `${folder.path}/${entry.name}`;
    if (entry.name.includes('\uFFFD')) {
      throw new TreeError(`${path}: the file name is not UTF-8; rename it`, { code: 'TREE_FILE_NAME', path });
    }
    // Before a link is followed, so that a broken one that nobody wants is no mistake.
    if (options.isIgnored(path, entry.isDirectory())) return;
    const at = { path, source: join(folder.source, entry.name), ancestors: folder.ancestors };
    await visit(entry, at, found, options);
  });
}

async function visit(entry: Dirent, at: Folder, found: Found, options: TreeOptions): Promise<void> {
  const { path } = at;
  const source = entry.isSymbolicLink() ? await followLink(at, options.boundary) : at.source;
  const status = await stat(source, { bigint: true });
  found.entries += 1;
  if (status.isDirectory()) {
    if (entry.isSymbolicLink() && options.isIgnored(path, true)) return;
    if (at.ancestors.includes(source)) {
      throw new TreeError(`${path}: a symlink to a folder that it lies in; remove it`, {
        code: 'TREE_LINK_LOOPS',
        path,
      });
    }
    checkLimits(path, found, options);
    await walk({ path, source, ancestors: [...at.ancestors, source] }, found, options);
    return;
  }
  if (!status.isFile()) {
    throw new TreeError(`${path}: neither a file nor a folder; remove it`, { code: 'TREE_NOT_A_FILE', path });
  }
  const sizeBytes = Number(status.size);
  found.bytes += sizeBytes;
  found.files.push({
    ...{ path, source, sizeBytes },
    executable: (status.mode & 0o100n) !== 0n,
    identity: identityOf(status),
    changedAtMs: Number(status.ctimeMs),
  });
  checkLimits(path, found, options);
}

async function followLink({ path, source }: Folder, boundary: string): Promise<string> {
  let target: string;
  try {
    target = await realpath(source);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'ELOOP' && code !== 'ENOTDIR') throw error;
    throw new TreeError(`${path}: a symlink that leads nowhere; remove it or restore what it names`, {
      code: 'TREE_LINK_BROKEN',
      path,
    });
  }
  if (isWithin(boundary, target)) return target;
  throw new TreeError(`${path}: a symlink out of ${boundary}, to ${target}; put a copy in its place`, {
    code: 'TREE_LINK_ESCAPES',
    path,
  });
}

function checkLimits(path: string, { files, entries, bytes }: Found, options: TreeOptions): void {
  if (entries <= options.maxEntries && bytes <= options.maxBytes) return;
  const limit =
    entries > options.maxEntries
      ? `more than ${options.maxEntries} files and folders`
      : `more than ${Math.floor(options.maxBytes / 1024 ** 2)} MiB`;
  const weigh = (file: TreeFile): number => (entries > options.maxEntries ? 1 : file.sizeBytes);
  throw new TreeError(`${limit}; most of it is in ${heaviest(files, weigh) ?? path}`, {
    code: 'TREE_TOO_LARGE',
    path,
  });
}

/** The first path segment that holds the most, or null among no files. */
function heaviest(files: readonly TreeFile[], weigh: (file: TreeFile) => number): string | null {
  const totals = new Map<string, number>();
  for (const file of files) {
    const top = file.path.split('/', 1)[0] ?? file.path;
    totals.set(top, (totals.get(top) ?? 0) + weigh(file));
  }
  const [first] = [...totals].sort(([, left], [, right]) => right - left);
  return first?.[0] ?? null;
}
