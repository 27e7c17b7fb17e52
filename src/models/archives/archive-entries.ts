import type { TarEntry } from '../../lib/tar/read-tar.ts';
import { ImageError } from '../oci/compose.ts';
import type { EntryMeaning } from '../oci/layer-entries.ts';

/**
 * What entries of an archive mean, which has all of its files in one folder. An archive of a few bytes can hold any number
 * of them: what all together say of their sizes is bounded.
 * @param root name of that folder, for paths in messages
 * @returns reads the entries of one archive, in order
 */
export function archiveReader(root: string, maxBytes: number): (entry: TarEntry) => EntryMeaning {
  let totalBytes = 0;
  return (entry) => {
    const inner = pathIn(entry.name, root);
    if (inner === '') return { kind: 'outside' };
    const path = `${root}/${inner}`;
    if (/[\uFFFD\\]/.test(inner)) throw wrong(path, 'has a name that is no UTF-8, or a backslash in it');
    totalBytes += entry.sizeBytes;
    if (totalBytes > maxBytes) {
      throw new ImageError(`it holds more than ${maxBytes} bytes, far more than it has itself`, {
        ...{ code: 'IMAGE_TOO_LARGE', path },
      });
    }
    switch (entry.kind) {
      case 'file':
      case 'folder':
        return { kind: entry.kind, path };
      case 'symlink':
        return { kind: 'symlink', path, target: entry.target };
      case 'link':
        return { kind: 'link', path, target: `${root}/${pathIn(entry.target, root)}` };
      case 'other':
        throw wrong(path, 'is neither a file nor a folder nor a link');
    }
  };
}

/** Counted from the folder that it is unpacked into, whether or not it says so. */
function pathIn(name: string, root: string): string {
  const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (!segments.includes('..')) return segments.join('/');
  throw new ImageError(`${JSON.stringify(name)} leads out of ${root}/`, { code: 'IMAGE_PATH', path: name });
}

function wrong(path: string, what: string): ImageError {
  return new ImageError(`${path} ${what}`, { code: 'IMAGE_ENTRY', path });
}
