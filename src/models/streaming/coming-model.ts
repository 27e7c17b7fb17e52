import type { ModelFetch } from '../../cluster/status/types.ts';
import type { StoredContent } from '../../lib/content/content-store.ts';
import { codeOf, ServeError } from '../../lib/errors.ts';
import type { ByteRange } from '../sources/types.ts';

/** A model that is streamed cannot be had; the message names it and why. */
export class StreamError extends ServeError<{
  readonly code: 'STREAM_FAILED' | 'STREAM_NO_ROOM' | 'STREAM_UNKNOWN' | 'STREAM_STOPPED';
}> {
  override readonly name = 'StreamError';
}

/** What one request asks for. */
export const CHUNK_BYTES = 8 * 1024 ** 2;

/** A model whose files are there while their bytes come. */
export interface ComingModel {
  /** resolves when all of it has come; rejects with what `failure` says */
  readonly whole: Promise<StoredContent>;
  /** it is kept by nobody but who reads it */
  readonly isInMemory: boolean;
  /** it has come, and files of it may have to be waited for all the same: their memory was given back */
  readonly isWhole: boolean;
  /** where it is: what others link to */
  readonly root: string;
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[];
  /** why it cannot be had; null as long as nothing is known against it */
  readonly failure: Error | null;
  readonly progress: ModelFetch;
  /**
   * Waits until a file can be read, which comes next.
   * @param path within the model
   * @throws what `failure` says; the signal's reason
   */
  whenFile(path: string, signal: AbortSignal): Promise<void>;
  /** The same by where the file lies while it comes. @throws StreamError STREAM_UNKNOWN for a file that is not of this model */
  whenSource(source: string, signal: AbortSignal): Promise<void>;
  /** The same for a part of a file, which comes before whole files. */
  whenRange(path: string, range: ByteRange, signal: AbortSignal): Promise<void>;
  /** Ends the fetch; what has come stays for the next time, and nobody is told any more why a file is not there. Idempotent. */
  stop(): Promise<void>;
  /** Somebody reads files from now on who cannot be made to wait: what is whole stays so, and comes again where it was given back. */
  keep?(signal: AbortSignal): Promise<void>;
  /** Gives back what is only here for those who read it, once it has stopped. */
  discard?(): Promise<void>;
}

/** Small files first, then the large ones by name. @param smallBytes up to so much comes first */
export function inOrder<File extends { readonly path: string; readonly sizeBytes: number }>(
  files: readonly File[],
  smallBytes: number,
): readonly File[] {
  const rank = ({ sizeBytes }: File): number => (sizeBytes <= smallBytes ? 0 : 1);
  return [...files].sort((left, right) => rank(left) - rank(right) || (left.path < right.path ? -1 : 1));
}

/** @param place what is full, for people */
export function explained(error: Error, model: string, place: string): Error {
  if (codeOf(error) !== 'ENOSPC' && codeOf(error) !== 'EDQUOT') return error;
  return new StreamError(`${model}: ${place} is full; make room there`, { code: 'STREAM_NO_ROOM' });
}
