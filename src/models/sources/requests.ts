import type { Readable } from 'node:stream';
import type { Trust } from './connections.ts';

/** A request before it is signed. */
export interface StoreRequest {
  /** GET where none is given */
  readonly method?: 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  /** made anew for each try */
  readonly body?: Buffer | Readable;
  /** `https://host:port` */
  readonly origin: string;
  /** percent-encoded, with a slash at the start */
  readonly path: string;
  /** not encoded; in any order */
  readonly query: readonly (readonly [name: string, value: string])[];
  /** lower-case names */
  readonly headers: Readonly<Record<string, string>>;
  readonly trust?: Trust;
}

/** RFC 3986: everything but unreserved characters is escaped, as all signatures want it. */
export function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** A key as part of a path: slashes stay. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeStrictly).join('/');
}

/** What goes onto the request line. */
export function pathAndQuery({ path, query }: Pick<StoreRequest, 'path' | 'query'>): string {
  const pairs = query.map(([name, value]) =>
    value === '' ? encodeStrictly(name) : `${encodeStrictly(name)}=${encodeStrictly(value)}`,
  );
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`;
}

/** `host` of a request to this origin. */
export function hostOf(origin: string): string {
  return new URL(origin).host;
}
