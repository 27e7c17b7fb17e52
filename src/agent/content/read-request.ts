import { z } from 'zod';
import type { Piece } from '../../lib/content/pieces.ts';
import { ServeError } from '../../lib/errors.ts';

/** Reads what another node sent. @throws ServeError BAD_REQUEST */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ServeError(z.prettifyError(result.error), { code: 'BAD_REQUEST' });
}

/** The part that a range header names, all of it where there is none. @returns null for what is no range of it */
export function rangeIn(header: string | undefined, totalBytes: number): Piece | null {
  if (header === undefined) return { offset: 0, length: totalBytes };
  const match = /^bytes=(\d+)-(\d*)$/.exec(header);
  if (match === null) return null;
  const offset = Number(match[1]);
  const end = match[2] === '' ? totalBytes - 1 : Number(match[2]);
  return offset <= end && end < totalBytes ? { offset, length: end - offset + 1 } : null;
}
