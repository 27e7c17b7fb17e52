import type { TarEntry } from '../../lib/tar/read-tar.ts';
import { ImageError } from '../oci/compose.ts';
import { type EntryMeaning, memberAt, pathIn } from '../oci/layer-entries.ts';

/**
 * What entries of an archive mean, which has all of its files in one folder. An archive of a few bytes can hold any number
 * of them: what all together say of their sizes is bounded.
 * @param root name of that folder, for paths in messages
 * @returns reads the entries of one archive, in order
 */
export function archiveReader(root: string, maxBytes: number): (entry: TarEntry) => EntryMeaning {
  let totalBytes = 0;
  return (entry) => {
    const inner = pathIn(entry.name, `${root}/`);
    if (inner === '') return { kind: 'outside' };
    const path = `${root}/${inner}`;
    const member = memberAt(path, entry, (target) => `${root}/${pathIn(target, `${root}/`)}`);
    totalBytes += entry.sizeBytes;
    if (totalBytes > maxBytes) {
      throw new ImageError(`it holds more than ${maxBytes} bytes, far more than it has itself`, {
        ...{ code: 'IMAGE_TOO_LARGE', path },
      });
    }
    return member;
  };
}
