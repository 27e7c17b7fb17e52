import { createHmac } from 'node:crypto';
import { sha256 } from '../../lib/hash.ts';
import { encodeStrictly, hostOf, type StoreRequest } from './requests.ts';

export interface AccessKey {
  readonly id: string;
  readonly secret: string;
  /** of temporary credentials; null for none */
  readonly sessionToken: string | null;
}

export interface SignatureScope {
  readonly key: AccessKey;
  readonly region: string;
  readonly service: 's3' | 'sts';
  readonly nowMs: number;
}

/** Where the services of a region are. */
export function amazonDomain(region: string): string {
  return region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
}

const NO_BODY = sha256('');

/** Signs a GET as AWS Signature Version 4 has it. @returns the headers to send, those of the request among them */
export function signS3(
  request: StoreRequest,
  { key, region, service, nowMs }: SignatureScope,
): Record<string, string> {
  const time = new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '');
  const day = time.slice(0, 8);
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-content-sha256': NO_BODY,
    'x-amz-date': time,
    ...(key.sessionToken === null ? {} : { 'x-amz-security-token': key.sessionToken }),
  };
  const signed = Object.entries({ ...headers, host: hostOf(request.origin) }).sort(byName);
  const names = signed.map(([name]) => name).join(';');
  const canonical = [
    'GET',
    request.path,
    canonicalQuery(request.query),
    ...signed.map(([name, value]) => `${name}:${value.trim()}`),
    '',
    names,
    NO_BODY,
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const text = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical)].join('\n');
  const signingKey = [day, region, service, 'aws4_request'].reduce<string | Buffer>(
    hmac,
    `AWS4${key.secret}`,
  );
  const signature = hmac(signingKey, text).toString('hex');
  const credential = `AWS4-HMAC-SHA256 Credential=${key.id}/${scope}`;
  return { ...headers, authorization: `${credential}, SignedHeaders=${names}, Signature=${signature}` };
}

/** Sorted by encoded name; no name comes twice in what is asked here. */
function canonicalQuery(query: StoreRequest['query']): string {
  return query
    .map(([name, value]) => [encodeStrictly(name), encodeStrictly(value)] as const)
    .sort(byName)
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function byName([left]: readonly [string, string], [right]: readonly [string, string]): number {
  return left < right ? -1 : 1;
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
