import { createSign } from 'node:crypto';
import { messageOf } from '../../../lib/errors.ts';
import { readIfThere } from '../../../lib/files.ts';
import type { AskServer } from '../connections.ts';
import { SourceError } from '../types.ts';
import type { Lease } from './renewable.ts';
import { objectIn, readToken } from './token-answer.ts';

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

/**
 * A bearer token for the service account, or for the user who has logged in with gcloud, whom a file names.
 * @param origin of the file's name, for messages
 * @throws SourceError SOURCE_CREDENTIALS when it holds no credentials, or they are refused; what is worth another try
 */
export async function fileToken(path: string, origin: string, ask: AskServer): Promise<Lease<string>> {
  const credentials = await read(path, origin);
  const grant = grantIn(credentials, origin);
  const url = credentials.token_uri ?? TOKEN_URI;
  if (!URL.canParse(url)) throw unusable(origin, 'an address as token_uri', 'none');
  const answer = readToken(
    await ask({
      ...{ url, method: 'POST', body: new URLSearchParams(grant).toString() },
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    }),
  );
  if (!answer.ok) throw unusable(origin, 'credentials that Google takes', answer.found);
  return answer.lease;
}

/** Who signs for a service account. */
export interface GoogleSigner {
  readonly email: string;
  /** in PEM */
  readonly privateKey: string;
}

/** @returns null for credentials of another kind */
export async function fileSigner(path: string, origin: string): Promise<GoogleSigner | null> {
  const { client_email: email, private_key: privateKey } = await read(path, origin);
  return email === undefined || privateKey === undefined ? null : { email, privateKey };
}

async function read(path: string, origin: string): Promise<Credentials> {
  let text: string | null;
  try {
    text = await readIfThere(path);
  } catch (error) {
    throw unusable(origin, 'a file that can be read', messageOf(error));
  }
  if (text === null) throw unusable(origin, 'a file', 'none');
  return objectIn(text);
}

/** What a token is asked for with. */
function grantIn(credentials: Credentials, origin: string): Record<string, string> {
  const { client_email: email, private_key: privateKey } = credentials;
  if (email !== undefined && privateKey !== undefined) {
    const assertion = assertionOf(credentials, privateKey, origin);
    return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion };
  }
  const { client_id: id, client_secret: secret, refresh_token: refreshToken } = credentials;
  if (id === undefined || secret === undefined || refreshToken === undefined) {
    const found = typeof credentials.type === 'string' ? `"${credentials.type}"` : 'neither';
    throw unusable(origin, 'a service account, or a user with a refresh token', found);
  }
  return { grant_type: 'refresh_token', client_id: id, client_secret: secret, refresh_token: refreshToken };
}

function assertionOf(credentials: Credentials, privateKey: string, origin: string): string {
  const iat = Math.floor(Date.now() / 1000);
  const claims = {
    ...{ iss: credentials.client_email, scope: SCOPE, aud: credentials.token_uri ?? TOKEN_URI },
    ...{ iat, exp: iat + LIFETIME_S },
  };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}`;
  try {
    return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`;
  } catch {
    throw unusable(origin, 'a private key in PEM', 'something else'); // what OpenSSL says names no file
  }
}

function unusable(origin: string, expected: string, found: string): SourceError {
  return new SourceError(`${origin}: expected ${expected}, found ${found}`, { code: 'SOURCE_CREDENTIALS' });
}
