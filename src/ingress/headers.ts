import type { IncomingMessage } from 'node:http';

export type HeaderPairs = readonly (readonly [string, string])[];

/** Headers of one hop (RFC 9110, section 7.6.1), which a proxy does not pass on, and `expect`, which it has answered. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

const REQUEST_ID = /^[\w.:;,@/+=~#!$%&*()[\]-]{1,128}$/;

/** The client's own id where it is one that can go into logs and headers as it is; else null. */
export function sentRequestId(request: IncomingMessage): string | null {
  const sent = request.headers['x-request-id'];
  return typeof sent === 'string' && REQUEST_ID.test(sent) ? sent : null;
}

/** What goes to the replica: names in lower case, in the order and number sent, without those of this hop and the id. */
export function forwardedHeaders(request: IncomingMessage): HeaderPairs {
  const dropped = namedByConnection(request.headers.connection);
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = (request.rawHeaders[at] ?? '').toLowerCase();
    if (HOP_BY_HOP.has(name) || name === 'x-request-id' || dropped?.has(name)) continue;
    pairs.push([name, request.rawHeaders[at + 1] ?? '']);
  }
  return pairs;
}

/** What of a replica's answer goes to the client, as node:http takes it: names and values in turn. */
export function answeredHeaders(headers: HeaderPairs): string[] {
  const flat: string[] = [];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || lower === 'content-length' || lower === 'x-request-id') continue;
    flat.push(name, value);
  }
  return flat;
}

/** The length that an answer announces; null where it announces none. */
export function announcedLength(headers: HeaderPairs): number | null {
  const pair = headers.find(([name]) => name.toLowerCase() === 'content-length');
  return pair !== undefined && /^\d{1,15}$/.test(pair[1]) ? Number(pair[1]) : null;
}

/** `Connection: close, x-foo` makes x-foo a header of this hop, too. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | null {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return null;
  return new Set(connection.split(',').map((name) => name.trim().toLowerCase()));
}
