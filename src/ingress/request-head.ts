import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { EncodedHead } from '../channel/messages.ts';
import { forwardedHeaders, type HeaderPairs } from './headers.ts';

/** What differs from one request of a connection to the next, besides its headers. */
export interface HeadFields {
  /** one that needs no escaping in JSON (see sentRequestId) */
  readonly id: string;
  readonly replica: string;
  readonly path: string;
  /** without `?` */
  readonly query: string;
  /** what is left */
  readonly timeoutMs: number;
  readonly exposesErrors: boolean;
  /** in place of the client's; null: what it sent */
  readonly traceparent: string | null;
  /** the replica shall say how long it was in user code */
  readonly isTimed: boolean;
}

/** What the requests of one connection have in common, most of the time. */
interface Repeated {
  readonly rawHeaders: readonly string[];
  readonly client: string;
  readonly scheme: 'http' | 'https';
  /** the JSON of the headers that go on, without the brackets, the request's id and its place in a trace */
  readonly headers: string;
  /** the JSON of the last: the client's */
  readonly traceparent: string;
}

const repeated = Symbol('what the last request of this connection had');

interface KnownSocket extends Socket {
  [repeated]?: Repeated;
}

/**
 * The JSON of a RequestHead. Clients that keep their connection send the same headers again and again: what is made
 * of those is kept with the connection (3 µs of CPU a request otherwise).
 */
export function requestHead(request: IncomingMessage, fields: HeadFields): EncodedHead {
  const { id, replica, path, query, timeoutMs, exposesErrors } = fields;
  const { client, headers, scheme, traceparent: theirs } = ofConnection(request);
  const traceparent = fields.traceparent === null ? theirs : `["traceparent","${fields.traceparent}"],`;
  const text =
    `{"id":"${id}","replica":${JSON.stringify(replica)},"method":"${request.method}",` +
    `"path":${JSON.stringify(path)},"query":${JSON.stringify(query)},"scheme":"${scheme}",` +
    `"headers":[${headers}${traceparent}["x-request-id","${id}"]],"client":${client},` +
    `"timeout_ms":${timeoutMs},"expose_errors":${exposesErrors}${fields.isTimed ? ',"timed":true' : ''}}`;
  return { replica, text };
}

function ofConnection(request: IncomingMessage): Repeated {
  const socket: KnownSocket = request.socket;
  const last = socket[repeated];
  if (last !== undefined && areSame(last.rawHeaders, request.rawHeaders)) return last;
  const { remoteAddress, remotePort = 0 } = socket;
  const pairs = forwardedHeaders(request);
  const now: Repeated = {
    rawHeaders: request.rawHeaders,
    scheme: 'encrypted' in socket ? 'https' : 'http',
    client: JSON.stringify(remoteAddress === undefined ? null : [remoteAddress, remotePort]),
    headers: jsonOf(pairs.filter(([name]) => name !== 'traceparent')),
    traceparent: jsonOf(pairs.filter(([name]) => name === 'traceparent')),
  };
  socket[repeated] = now;
  return now;
}

function jsonOf(pairs: HeaderPairs): string {
  return pairs.map((pair) => `${JSON.stringify(pair)},`).join('');
}

function areSame(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let at = 0; at < some.length; at += 1) if (some[at] !== others[at]) return false;
  return true;
}
