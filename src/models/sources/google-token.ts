import { createSign } from 'node:crypto';
import { request } from 'undici';
import { messageOf } from '../../lib/errors.ts';
import { readIfThere } from '../../lib/files.ts';
import { passing } from './exchange.ts';
import { SourceError } from './types.ts';

/** What a file of Google's credentials holds, as far as it is of use here. */
interface Credentials {
  readonly type?: string;
  readonly token_uri?: string;
  readonly client_email?: string;
  readonly private_key?: string;
  readonly client_id?: string;
  readonly client_secret?: string;
  readonly refresh_token?: string;
}

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_only';
const TOKEN_URI = 'https://oauth2.googleapis.com/token';
const LIFETIME_S = 3_600;
/** A token is not used so shortly before its end. */
const MARGIN_MS = 60_000;
const TIMEOUT_MS = 30_000;

/** Bearer tokens for a service account (or a user who has logged in with gcloud), got anew before they run out. */
export class GoogleToken {
  readonly #path: string;
  #token = '';
  #endsAtMs = 0;

  /** @param path of the file that `GOOGLE_APPLICATION_CREDENTIALS` names */
  constructor(path: string) {
    this.#path = path;
  }

  /** @throws SourceError SOURCE_CREDENTIALS, naming the file, when it holds no credentials or they are refused */
  async get(): Promise<string> {
    if (Date.now() < this.#endsAtMs - MARGIN_MS) return this.#token;
    const credentials = await this.#read();
    const grant = this.#grantOf(credentials);
    if (grant === null) throw this.#unusable('a service account, or a user with a refresh token', 'neither');
    const { statusCode, body } = await request(credentials.token_uri ?? TOKEN_URI, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(grant).toString(),
      ...{ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS },
    });
    const text = await body.text();
    if (statusCode >= 500 || statusCode === 429) throw passing(`the token server answers ${statusCode}`);
    const answer = objectIn(text);
    const { access_token: token, expires_in: lifetimeS } = answer;
    if (statusCode !== 200 || typeof token !== 'string') {
      const words = [answer['error'], answer['error_description']].filter((word) => typeof word === 'string');
      throw this.#unusable(
        'credentials that Google takes',
        [`an answer of ${statusCode}`, ...words].join(' '),
      );
    }
    this.#token = token;
    this.#endsAtMs = Date.now() + 1000 * (typeof lifetimeS === 'number' ? lifetimeS : LIFETIME_S);
    return token;
  }

  #grantOf(credentials: Credentials): Record<string, string> | null {
    try {
      return grantOf(credentials, Date.now());
    } catch {
      throw this.#unusable('a private key in PEM', 'something else'); // what OpenSSL says names no file
    }
  }

  async #read(): Promise<Credentials> {
    let text: string | null;
    try {
      text = await readIfThere(this.#path);
    } catch (error) {
      throw this.#unusable('a file that can be read', messageOf(error));
    }
    if (text === null) throw this.#unusable('a file', 'none');
    return objectIn(text);
  }

  #unusable(expected: string, found: string): SourceError {
    return new SourceError(
      `GOOGLE_APPLICATION_CREDENTIALS (${this.#path}): expected ${expected}, found ${found}`,
      { code: 'SOURCE_CREDENTIALS' },
    );
  }
}

/** What a token is asked for with; null for credentials of another kind. */
function grantOf(credentials: Credentials, nowMs: number): Record<string, string> | null {
  const { client_email: email, private_key: privateKey } = credentials;
  if (email !== undefined && privateKey !== undefined) {
    const claims = { iss: email, scope: SCOPE, aud: credentials.token_uri ?? TOKEN_URI };
    const assertion = signedToken({ ...claims, ...lifetimeFrom(nowMs) }, privateKey);
    return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
  }
  const { client_id: id, client_secret: secret, refresh_token: refreshToken } = credentials;
  if (id === undefined || secret === undefined || refreshToken === undefined) return null;
  return { grant_type: 'refresh_token', client_id: id, client_secret: secret, refresh_token: refreshToken };
}

function lifetimeFrom(nowMs: number): { readonly iat: number; readonly exp: number } {
  const iat = Math.floor(nowMs / 1000);
  return { iat, exp: iat + LIFETIME_S };
}

function signedToken(claims: object, privateKey: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`;
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
