import type { TarEntry } from '../../lib/tar/read-tar.ts';
import { ImageError, type LayerEntry } from './compose.ts';

/** Where an image has its model. */
export const MODEL_FOLDER = 'models';

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';

/** What an entry of a layer's tar means; of a file only where it is. */
export type EntryMeaning =
  | { readonly kind: 'file'; readonly path: string }
  | Exclude<LayerEntry, { kind: 'file' }>
  /** outside of the model folder: nobody wants it */
  | { readonly kind: 'outside' };

/**
 * Reads an entry of a layer.
 * @throws ImageError for one that leads out of the image, and for what no model can be in the model folder (devices, sockets)
 */
export function meaningOf(entry: TarEntry): EntryMeaning {
  const path = pathIn(entry.name);
  const hidden = hiddenBy(path);
  if (hidden !== null) return isOfModel(hidden.path) ? hidden : { kind: 'outside' };
  if (path === '' || !isOfModel(path)) return { kind: 'outside' };
  return memberAt(path, entry, (target) => pathIn(target));
}

/**
 * What an entry is for a model that has it at a path.
 * @param whither where a hard link leads, counted as the path is
 * @throws ImageError for what no model can be
 */
export function memberAt(path: string, entry: TarEntry, whither: (target: string) => string): EntryMeaning {
  if (/[\uFFFD\\]/.test(path)) throw wrong(path, 'has a name that is no UTF-8, or a backslash in it');
  switch (entry.kind) {
    case 'file':
    case 'folder':
      return { kind: entry.kind, path };
    case 'symlink':
      return { kind: 'symlink', path, target: entry.target };
    case 'link':
      return { kind: 'link', path, target: whither(entry.target) };
    case 'other':
      throw wrong(path, 'is neither a file nor a folder nor a link');
  }
}

/** What a mark among the files says is gone of the layers below; null for what is no mark. */
function hiddenBy(path: string): Extract<LayerEntry, { kind: 'whiteout' | 'opaque' }> | null {
  const segments = path.split('/');
  const name = segments.pop() ?? '';
  if (name === OPAQUE) return { kind: 'opaque', path: segments.join('/') };
  if (!name.startsWith(WHITEOUT)) return null;
  return { kind: 'whiteout', path: [...segments, name.slice(WHITEOUT.length)].join('/') };
}

/** The first segment of an entry's name, '' for the root itself. */
export function topOf(entry: TarEntry): string {
  return pathIn(entry.name).split('/')[0] ?? '';
}

/** The root of the image counts, too: what hides it hides the model. */
function isOfModel(path: string): boolean {
  return path === '' || path === MODEL_FOLDER || path.startsWith(`${MODEL_FOLDER}/`);
}

/** Counted from where it is unpacked, whether or not it says so. @throws ImageError for what leads out of that */
export function pathIn(name: string, whole = 'the image'): string {
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (!segments.includes('..')) return segments.join('/');
  throw new ImageError(`${JSON.stringify(name)} leads out of ${whole}`, { code: 'IMAGE_PATH', path: name });
}

function wrong(path: string, what: string): ImageError {
  return new ImageError(`${path} ${what}`, { code: 'IMAGE_ENTRY', path });
}
