import { createHmac } from 'node:crypto';
import { sha256 } from '../../lib/hash.ts';
import { encodeKey, encodeStrictly, type StoreRequest } from './requests.ts';
import type { AccessKey } from './sign-s3.ts';

export interface OssScope {
  readonly key: AccessKey;
  /** signature version 4 names it; null: version 1, which needs none */
  readonly region: string | null;
  /** bucket and key as they are, which the path need not have: `/bucket/key`, or `/bucket/` */
  readonly resource: string;
  readonly nowMs: number;
}

/** Signs a GET as OSS has it. @returns the headers to send, those of the request among them */
export function signOss(request: StoreRequest, scope: OssScope): Record<string, string> {
  const { sessionToken } = scope.key;
  const token = sessionToken === null ? {} : { 'x-oss-security-token': sessionToken };
  const headers = { ...request.headers, ...token };
  return scope.region === null
    ? signVersion1(headers, scope)
    : signVersion4(request.query, headers, { ...scope, region: scope.region });
}

/** Of the query it signs sub-resources alone, and none of them is asked for here. */
function signVersion1(
  plain: Readonly<Record<string, string>>,
  { key, resource, nowMs }: OssScope,
): Record<string, string> {
  const headers = { ...plain, date: new Date(nowMs).toUTCString() };
  const text = ['GET', '', '', headers.date, ...ownHeaders(headers), resource].join('\n');
  const signature = createHmac('sha1', key.secret).update(text).digest('base64');
  return { ...headers, authorization: `OSS ${key.id}:${signature}` };
}

function signVersion4(
  query: StoreRequest['query'],
  plain: Readonly<Record<string, string>>,
  { key, region, resource, nowMs }: OssScope & { readonly region: string },
): Record<string, string> {
  const time = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const headers = { ...plain, 'x-oss-content-sha256': UNSIGNED, 'x-oss-date': time };
  const pairs = query.map(([name, value]) => [encodeStrictly(name), encodeStrictly(value)] as const);
  const canonicalQuery = [...pairs]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .join('&');
  const canonical = [
    'GET',
    encodeKey(resource),
    canonicalQuery,
    ...ownHeaders(headers),
    '',
    '',
    UNSIGNED,
  ].join('\n');
  const scope = `${day}/${region}/oss/aliyun_v4_request`;
  const text = ['OSS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const signingKey = scope.split('/').reduce<string | Buffer>(hmac, `aliyun_v4${key.secret}`);
  const signature = hmac(signingKey, text).toString('hex');
  const authorization = `OSS4-HMAC-SHA256 Credential=${key.id}/${scope},Signature=${signature}`;
  return { ...headers, authorization };
}

const UNSIGNED = 'UNSIGNED-PAYLOAD';

function ownHeaders(headers: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(headers)
    .filter(([name]) => name.startsWith('x-oss-'))
    .map(([name, value]) => `${name}:${value}`)
    .sort();
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
