import type { FileDigest } from '../../lib/file-digests.ts';
import { sha256 } from '../../lib/hash.ts';
import { FrontDigests } from '../arrival/front-digests.ts';
import type { ByteRange } from '../sources/types.ts';
import type { DraftFile } from './draft-folder.ts';

const EMPTY: FileDigest = { sizeBytes: 0, sha256: sha256('') };

/** The hashes of a model's files, made from their start on while the rest of them comes in the order it is asked for. */
export class StreamedDigests {
  readonly #chunkBytes: number;
  readonly #digests: FrontDigests;

  /** @param files what an earlier run has left of them is hashed at once. @param chunkBytes what they come in */
  constructor(files: readonly DraftFile[], chunkBytes: number) {
    this.#chunkBytes = chunkBytes;
    const cut = files.map((file) => ({ file, ranges: rangesOf(file.sizeBytes, chunkBytes) }));
    this.#digests = new FrontDigests(
      cut.flatMap(({ file, ranges }) => ranges.map((range) => this.#partOf(file.source, range))),
    );
    for (const { file, ranges } of cut) {
      for (const [index, range] of ranges.entries()) if (file.held.has(index)) this.add(file.source, range);
    }
  }

  /** A chunk is there. @param source where its file lies */
  add(source: string, range: ByteRange): void {
    this.#digests.add(this.#partOf(source, range), range.offset + range.length);
  }

  /** @throws FILE_CHANGED when another program has written to it; ServeError STOPPED once this is closed */
  async of({ source, sizeBytes }: DraftFile): Promise<FileDigest> {
    return sizeBytes === 0 ? EMPTY : await this.#digests.digestOf(source);
  }

  /** Nobody wants to know any more. Idempotent. */
  close(): void {
    this.#digests.close();
  }

  #partOf(path: string, range: ByteRange) {
    return { index: range.offset / this.#chunkBytes, path, range };
  }
}

function rangesOf(sizeBytes: number, chunkBytes: number): readonly ByteRange[] {
  return Array.from({ length: Math.ceil(sizeBytes / chunkBytes) }, (_, index) => {
    const offset = index * chunkBytes;
    return { offset, length: Math.min(chunkBytes, sizeBytes - offset) };
  });
}
