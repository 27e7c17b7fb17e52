import type { ReceiveOptions, Target } from '../models/receive/types.ts';
import type { ByteRange, ByteSink, ModelSource, RemoteFile } from '../models/sources/types.ts';

interface Part {
  readonly whole: RemoteFile;
  readonly offset: number;
}

/** Makes files of parts of files, for who can only fetch files. Files that are no parts are passed on as they are. */
export class PartSource implements ModelSource {
  readonly #source: ModelSource;
  readonly #parts = new WeakMap<RemoteFile, Part>();

  constructor(source: ModelSource) {
    this.#source = source;
  }

  get canList(): boolean {
    return this.#source.canList;
  }

  /** A part as a file of its own, known to this source alone. */
  part(whole: RemoteFile, { offset, length }: ByteRange): RemoteFile {
    const part = { ...whole, sizeBytes: length };
    this.#parts.set(part, { whole, offset });
    return part;
  }

  async stat(key: string, signal: AbortSignal): Promise<RemoteFile | null> {
    return await this.#source.stat(key, signal);
  }

  get canListAfter(): boolean {
    return this.#source.canListAfter === true;
  }

  list(prefix: string, signal: AbortSignal, after?: string): AsyncGenerator<readonly RemoteFile[]> {
    return this.#source.list(prefix, signal, after);
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    const part = this.#parts.get(file);
    if (part === undefined) return await this.#source.read(file, range, sink, signal);
    const { offset, length } = range ?? { offset: 0, length: file.sizeBytes ?? 0 };
    const end = await this.#source.read(
      part.whole,
      { offset: part.offset + offset, length },
      async (bytes, position) => await sink(bytes, position - part.offset),
      signal,
    );
    return end - part.offset;
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    options: ReceiveOptions,
  ): Promise<number> {
    const part = this.#parts.get(file);
    if (part === undefined) return await this.#source.readInto(file, range, target, options);
    const { offset, length } = range ?? { offset: 0, length: file.sizeBytes ?? 0 };
    const inWhole = { offset: part.offset + offset, length };
    return (await this.#source.readInto(part.whole, inWhole, target, options)) - part.offset;
  }
}
