import type { ModelUri } from '../../config/model-uri.ts';
import { objectIn } from './credentials/token-answer.ts';
import type { Dialect, SourceContext } from './remote-source.ts';
import { SourceError } from './types.ts';

/** One file on a web server; presigned addresses of object stores as well. */
export function webDialect({ endpoint, key, query }: ModelUri, context: SourceContext): Dialect {
  const origin = endpoint ?? '';
  const headers = headersFor(new URL(origin), context);
  return {
    place: `${origin}/`,
    // Sent as it was written: a signature may hold for no other way to write it.
    object: () => ({ origin, path: `/${key}${query}`, query: [], headers }),
    listing: null,
    sign: async (plain) => plain.headers,
    presign: async (plain) => plain, // whoever wrote it has signed it
    renew: async () => false,
    hint: (status) =>
      status === 401 || status === 403
        ? `the address may have run out, or needs what a URI cannot carry: a variable HOST-headers in ${context.environment} gives headers as JSON`
        : '',
  };
}

/** What the variable `HOST-headers` says, with the port or without it, as KServe has it. */
function headersFor(
  { host, hostname }: URL,
  { variables, environment }: SourceContext,
): Readonly<Record<string, string>> {
  const name = [`${host}-headers`, `${hostname}-headers`].find((one) => variables[one]);
  if (name === undefined) return {};
  const entries = Object.entries(objectIn(variables[name] ?? ''));
  const isHeader = ([header, value]: readonly [string, unknown]): boolean =>
    /^[\w!#$%&'*+.^`|~-]+$/.test(header) && typeof value === 'string' && !/[\r\n\0]/.test(value);
  if (entries.length === 0 || !entries.every(isHeader)) {
    throw new SourceError(
      `${name} in ${environment}: expected headers as a JSON object of texts, such as {"authorization": "Bearer …"}, found something else`,
      { code: 'SOURCE_CREDENTIALS' },
    );
  }
  return Object.fromEntries(entries.map(([header, value]) => [header.toLowerCase(), String(value)]));
}
