import type { Told } from '../connections.ts';
import { passing } from '../passing.ts';
import type { Lease } from './renewable.ts';

/** What a server of tokens says: a token, or why there is none. */
export type TokenAnswer =
  | { readonly ok: true; readonly lease: Lease<string> }
  /** in the server's own words */
  | { readonly ok: false; readonly found: string };

const LIFETIME_S = 3_600;

/**
 * Reads an answer in the form of OAuth 2.
 * @throws what is worth another try, where the server cannot answer at the moment
 */
export function readToken({ status, text }: Told): TokenAnswer {
  if (status >= 500 || status === 429) throw passing(`the token server answers ${status}`);
  const answer = objectIn(text);
  const token = answer['access_token'];
  if (status === 200 && typeof token === 'string') {
    const lifetimeS = Number(answer['expires_in'] ?? LIFETIME_S) || LIFETIME_S;
    return { ok: true, lease: { value: token, endsAtMs: Date.now() + 1000 * lifetimeS } };
  }
  const words = [answer['error'], answer['error_description']].filter((word) => typeof word === 'string');
  return { ok: false, found: [`an answer of ${status}`, ...words].join(' ').replace(/\s+/g, ' ') };
}

/** A JSON object; one without fields for whatever is none. */
export function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
