import { ServeError } from '../../lib/errors.ts';

/** What a layer says of a path; paths count from the root of the image, without a slash at either end. */
export type LayerEntry =
  | { readonly kind: 'folder'; readonly path: string }
  | LayerFile
  /** `target` as written */
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  /** another name of a file of this layer or one below */
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  /** what layers below have there is gone */
  | { readonly kind: 'whiteout'; readonly path: string }
  /** what layers below have in this folder is gone */
  | { readonly kind: 'opaque'; readonly path: string };

export interface LayerFile {
  readonly kind: 'file';
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** names its bytes among those of the layer */
  readonly blob: string;
}

/** A file of the image as it is with all layers on top of each other. */
export interface ComposedFile extends Omit<LayerFile, 'kind'> {
  /** its place among the layers */
  readonly layer: number;
}

/** An image that cannot be files below a folder. */
export class ImageError extends ServeError<{
  readonly code: 'IMAGE_LINK' | 'IMAGE_PATH' | 'IMAGE_ENTRY' | 'IMAGE_TOO_LARGE';
  readonly path: string;
}> {
  override readonly name = 'ImageError';
}

interface Folder {
  readonly kind: 'folder';
  readonly children: Map<string, Node>;
}
type Leaf =
  | (ComposedFile & { readonly kind: 'file' })
  | { readonly kind: 'symlink'; readonly target: string };
type Node = Folder | Leaf;

/** As many as the kernel follows. */
const MAX_LINKS = 40;
const VISITS_PER_FILE = 10;

/**
 * Puts layers on top of each other, the lowest first, and lists the files below a folder; a link stands for what it
 * leads to. Nothing is read or written here.
 * @param root a single name, such as `models`
 * @param maxFiles links that lead to each other could make endless lists
 * @returns paths below `root`, sorted; null when there is no such folder
 * @throws ImageError naming the link that leads out of `root`, nowhere or in a circle
 */
export function composeFiles(
  layers: readonly (readonly LayerEntry[])[],
  root: string,
  maxFiles: number,
): readonly ComposedFile[] | null {
  const image = emptyFolder();
  layers.forEach((entries, layer) => {
    for (const entry of entries) if (entry.kind === 'whiteout') remove(image, entry.path);
    for (const entry of entries) if (entry.kind === 'opaque') empty(image, entry.path);
    for (const entry of entries) put(image, entry, layer);
  });
  const found = image.children.get(root);
  if (found?.kind !== 'folder') return null;
  const listing: Listing = { image, root, maxFiles, files: [], visited: 0 };
  list(found, [found], root, listing);
  return listing.files.sort((left, right) => (left.path < right.path ? -1 : 1));
}

interface Listing {
  readonly image: Folder;
  readonly root: string;
  readonly maxFiles: number;
  readonly files: ComposedFile[];
  /** folders count, too: links among empty ones double with each level */
  visited: number;
}

/** @param above the folder itself and those that it lies in */
function list(folder: Folder, above: readonly Folder[], at: string, listing: Listing): void {
  const { image, root, maxFiles, files } = listing;
  for (const [name, node] of folder.children) {
    const path = `${at}/${name}`;
    const real = node.kind === 'symlink' ? follow(image, path, root) : node;
    if (real.kind === 'file') {
      const { sizeBytes, sha256, blob, layer } = real;
      files.push({ path: path.slice(root.length + 1), sizeBytes, sha256, blob, layer });
    } else {
      if (above.includes(real)) throw link(path, 'leads to a folder that it lies in');
      list(real, [...above, real], path, listing);
    }
    listing.visited += 1;
    if (files.length > maxFiles || listing.visited > VISITS_PER_FILE * maxFiles) {
      throw new ImageError(`more than ${maxFiles} files in ${root}/`, {
        code: 'IMAGE_TOO_LARGE',
        path: root,
      });
    }
  }
}

function emptyFolder(): Folder {
  return { kind: 'folder', children: new Map() };
}

function split(path: string): readonly [above: readonly string[], name: string] {
  const segments = path.split('/');
  return [segments.slice(0, -1), segments.at(-1) ?? ''];
}

/** The folder of that path as it is written, or null; links are not followed. */
function folderAt(image: Folder, segments: readonly string[]): Folder | null {
  let at: Node | undefined = image;
  for (const segment of segments) at = at?.kind === 'folder' ? at.children.get(segment) : undefined;
  return at?.kind === 'folder' ? at : null;
}

function remove(image: Folder, path: string): void {
  const [above, name] = split(path);
  folderAt(image, above)?.children.delete(name);
}

function empty(image: Folder, path: string): void {
  folderAt(image, path === '' ? [] : path.split('/'))?.children.clear();
}

function put(image: Folder, entry: LayerEntry, layer: number): void {
  if (entry.kind === 'whiteout' || entry.kind === 'opaque') return;
  const [above, name] = split(entry.path);
  let folder = image;
  for (const segment of above) {
    const next = folder.children.get(segment);
    const inner = next?.kind === 'folder' ? next : emptyFolder();
    folder.children.set(segment, inner);
    folder = inner;
  }
  if (entry.kind === 'folder') {
    if (folder.children.get(name)?.kind !== 'folder') folder.children.set(name, emptyFolder());
    return;
  }
  folder.children.set(name, entry.kind === 'link' ? linked(image, entry) : leafOf(entry, layer));
}

function leafOf(entry: Extract<LayerEntry, { kind: 'file' | 'symlink' }>, layer: number): Leaf {
  return entry.kind === 'file' ? { ...entry, layer } : entry;
}

function linked(image: Folder, { path, target }: { readonly path: string; readonly target: string }): Leaf {
  const found = nodeAt(image, target.split('/'));
  if (found === undefined || found.kind === 'folder') {
    throw link(path, `is a hard link to ${JSON.stringify(target)}, where no file is`);
  }
  return found;
}

/** What a symlink leads to in the end. */
function follow(image: Folder, path: string, root: string): Exclude<Node, { kind: 'symlink' }> {
  const real: string[] = [];
  const ahead = path.split('/');
  let links = 0;
  for (let segment = ahead.shift(); segment !== undefined; segment = ahead.shift()) {
    const target = targetAt(image, [...real, segment]);
    if (target === null) {
      if (!step(real, segment)) throw link(path, `leads out of ${root}/`);
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) throw link(path, 'leads in a circle');
    if (target.startsWith('/')) real.length = 0;
    ahead.unshift(...target.split('/'));
  }
  if (real[0] !== root) throw link(path, `leads out of ${root}/, to ${JSON.stringify(`/${real.join('/')}`)}`);
  return thereAt(image, real, path);
}

/** @param path what leads there, for the message */
function thereAt(
  image: Folder,
  segments: readonly string[],
  path: string,
): Exclude<Node, { kind: 'symlink' }> {
  const node = nodeAt(image, segments);
  if (node === undefined || node.kind === 'symlink') throw link(path, 'is a link that leads nowhere');
  return node;
}

/** @returns false for a step above the root of the image */
function step(real: string[], segment: string): boolean {
  if (segment === '..') return real.pop() !== undefined;
  if (segment !== '' && segment !== '.') real.push(segment);
  return true;
}

/** Where a symlink leads, as it is written; null for what is none. */
function targetAt(image: Folder, segments: readonly string[]): string | null {
  const node = nodeAt(image, segments);
  return node?.kind === 'symlink' ? node.target : null;
}

function nodeAt(image: Folder, segments: readonly string[]): Node | undefined {
  return folderAt(image, segments.slice(0, -1))?.children.get(segments.at(-1) ?? '');
}

function link(path: string, what: string): ImageError {
  return new ImageError(`${path} ${what}`, { code: 'IMAGE_LINK', path });
}
