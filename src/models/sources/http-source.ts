import type { ModelUri } from '../../config/model-uri.ts';
import type { Dialect } from './remote-source.ts';

/** One file on a web server; presigned addresses of object stores as well. */
export function webDialect({ endpoint, key, query }: ModelUri): Dialect {
  const origin = endpoint ?? '';
  return {
    place: `${origin}/`,
    // Sent as it was written: a signature may hold for no other way to write it.
    object: () => ({ origin, path: `/${key}${query}`, query: [], headers: {} }),
    listing: null,
    sign: async ({ headers }) => headers,
    hint: (status) =>
      status === 401 || status === 403
        ? 'the address may have run out, or needs what a URI cannot carry'
        : '',
  };
}
