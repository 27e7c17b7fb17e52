import { z } from 'zod';
import { ServeError } from '../lib/errors.ts';

/**
 * What came in a request, as the schema says it has to be.
 * @param place where in the request it stood, for whoever reads what is wrong
 * @throws ServeError BAD_REQUEST naming what is wrong
 */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  place: 'path' | 'query' | 'body',
): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ServeError(`${place}: ${z.prettifyError(result.error)}`, { code: 'BAD_REQUEST' });
}
