import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Manifest } from './manifest.ts';
import { type Piece, segmentsOf } from './pieces.ts';

const CHUNK_BYTES = 512 * 1024;

/**
 * The bytes of a part of a content, in order.
 * @throws RangeError when a file is shorter than its manifest says: it was cut off since it was looked at
 */
export async function* readContent(root: string, files: Manifest, part: Piece): AsyncGenerator<Buffer> {
  for (const segment of segmentsOf(files, part)) {
    const path = join(root, files[segment.file]?.path ?? '');
    const file = await open(path, constants.O_RDONLY);
    try {
      for (let done = 0; done < segment.length; ) {
        const length = Math.min(CHUNK_BYTES, segment.length - done);
        const { bytesRead, buffer } = await file.read(
          Buffer.allocUnsafe(length),
          0,
          length,
          segment.offset + done,
        );
        if (bytesRead === 0) throw new RangeError(`${path} is shorter than it was`);
        done += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }
}
