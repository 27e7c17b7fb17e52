import type { ByteRange } from '../sources/types.ts';

/** What of a file is there from its start without a gap. */
export interface Front {
  readonly path: string;
  /** grows, and never shrinks: what lies before is final */
  readonly toBytes: number;
  readonly isWhole: boolean;
}

/** A part of a file that comes on its own. */
export interface FilePart {
  /** tells it from the other parts of its file */
  readonly index: number;
  readonly path: string;
  /** null: the whole file */
  readonly range: ByteRange | null;
}

interface FileState {
  /** of its parts that are not part of the front */
  readonly missing: FilePart[];
  /** where a part has ended, of those that lie behind a gap */
  readonly ends: Map<number, number>;
}

/** How far files reach from their start while their parts come in any order. A part counts once it is there for good. */
export class FileFronts {
  readonly #files = new Map<string, FileState>();

  /** @param parts those of a file in order */
  constructor(parts: readonly FilePart[]) {
    for (const part of parts) {
      const file = this.#files.get(part.path) ?? newState();
      file.missing.push(part);
      this.#files.set(part.path, file);
    }
    for (const { missing } of this.#files.values()) missing.reverse(); // the next one is taken from the end
  }

  /**
   * A part is there.
   * @param endBytes where it ends in its file
   * @returns null when the file reaches no further for it
   */
  add({ path, index }: FilePart, endBytes: number): Front | null {
    const file = this.#files.get(path);
    if (file === undefined) return null;
    file.ends.set(index, endBytes);
    let toBytes: number | null = null;
    for (let next = file.missing.at(-1); next !== undefined; next = file.missing.at(-1)) {
      const end = file.ends.get(next.index);
      if (end === undefined) break;
      file.ends.delete(next.index);
      file.missing.pop();
      toBytes = end;
    }
    return toBytes === null ? null : { path, toBytes, isWhole: file.missing.length === 0 };
  }
}

function newState(): FileState {
  return { missing: [], ends: new Map() };
}
