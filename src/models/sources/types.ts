import { ServeError } from '../../lib/errors.ts';
import type { ReceiveOptions, Target } from '../receive/types.ts';

/** A file on a server or in a store. */
export interface RemoteFile {
  readonly key: string;
  /** null: the server does not say before it has sent it */
  readonly sizeBytes: number | null;
  /** ETag, or what else changes with the content (time of the last change); null: nothing tells */
  readonly version: string | null;
  /** whether parts of it can be asked for */
  readonly hasRanges: boolean;
}

/** A part of a file. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** Takes bytes of a file as they come; `position` counts from the start of the file. */
export type ByteSink = (bytes: Buffer, position: number) => Promise<void>;

/** A web server or an object store: what is there, and its bytes. */
export interface ModelSource {
  /** @returns null when there is no such file */
  stat(key: string, signal: AbortSignal): Promise<RemoteFile | null>;
  /** false: only single files can be named */
  readonly canList: boolean;
  /** whether a listing can begin behind a key, which need not be there; not given: no */
  readonly canListAfter?: boolean;
  /**
   * All files whose keys begin so, in pages, ordered by key.
   * @param after only those behind this key; '' for all
   * @throws SourceError where nothing can be listed
   */
  list(prefix: string, signal: AbortSignal, after?: string): AsyncGenerator<readonly RemoteFile[]>;
  /**
   * Gives the bytes of a part (null: of the whole file) to the sink, in order, none twice and none missing.
   * @param range not empty
   * @returns where it ended, counted from the start of the file
   * @throws SourceError; code SOURCE_CHANGED when the file is not the one that `stat` or `list` saw
   */
  read(file: RemoteFile, range: ByteRange | null, sink: ByteSink, signal: AbortSignal): Promise<number>;
  /**
   * As `read`, but puts the bytes where they belong without passing them through here: what is fast with many large parts at
   * once. A descriptor may be closed, and memory used otherwise, once this has come back, and not before.
   * @throws as `read`; what writing to the target threw (ENOSPC)
   */
  readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    options: ReceiveOptions,
  ): Promise<number>;
}

/** A server or a store has not given what was asked of it; the message names it, and the answer. */
export class SourceError extends ServeError<{
  readonly code:
    | 'SOURCE_REFUSED'
    | 'SOURCE_FAILED'
    | 'SOURCE_CHANGED'
    | 'SOURCE_CREDENTIALS'
    | 'SOURCE_ANSWER'
    | 'SOURCE_ORDER';
}> {
  override readonly name = 'SourceError';
}
