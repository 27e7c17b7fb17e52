import { createHmac, createSign } from 'node:crypto';
import { sha256 } from '../../lib/hash.ts';
import { encodeKey, encodeStrictly, hostOf, type StoreRequest } from './requests.ts';
import type { AzureKey } from './sign-azure.ts';
import type { OssScope } from './sign-oss.ts';
import type { AccessKey } from './sign-s3.ts';

/** As long as Google's own tools take by default, and what all stores allow. */
const LIFETIME_S = 3_600;

type Query = StoreRequest['query'];

/** Puts the signature of a GET into its address, as AWS Signature Version 4 has it. Headers are not part of it. */
export function presignS3(
  request: StoreRequest,
  { key, region, nowMs }: { readonly key: AccessKey; readonly region: string; readonly nowMs: number },
): StoreRequest {
  const scope = [dayOf(nowMs), region, 's3', 'aws4_request'];
  const token: Query = key.sessionToken === null ? [] : [['X-Amz-Security-Token', key.sessionToken]];
  const query: Query = [
    ...request.query,
    ...paramsOf(['X-Amz', 'AWS4-HMAC-SHA256'], key.id, scope, nowMs),
    ...token,
  ];
  const text = ['AWS4-HMAC-SHA256', timeOf(nowMs), scope.join('/'), canonicalHash(request, query)].join('\n');
  const signature = hmac(scope.reduce<string | Buffer>(hmac, `AWS4${key.secret}`), text).toString('hex');
  return { ...request, query: [...query, ['X-Amz-Signature', signature]] };
}

/** The same as Google has it, by the private key of a service account. */
export function presignGoogle(
  request: StoreRequest,
  {
    email,
    privateKey,
    nowMs,
  }: { readonly email: string; readonly privateKey: string; readonly nowMs: number },
): StoreRequest {
  const scope = [dayOf(nowMs), 'auto', 'storage', 'goog4_request'];
  const query: Query = [...request.query, ...paramsOf(['X-Goog', 'GOOG4-RSA-SHA256'], email, scope, nowMs)];
  const text = ['GOOG4-RSA-SHA256', timeOf(nowMs), scope.join('/'), canonicalHash(request, query)].join('\n');
  const signature = createSign('RSA-SHA256').update(text).sign(privateKey, 'hex');
  return { ...request, query: [...query, ['X-Goog-Signature', signature]] };
}

/** The same as OSS has it, in the version that the scope's region asks for. */
export function presignOss(request: StoreRequest, scope: OssScope): StoreRequest {
  return scope.region === null
    ? presignOss1(request, scope)
    : presignOss4(request, { ...scope, region: scope.region });
}

function presignOss1(request: StoreRequest, { key, resource, nowMs }: OssScope): StoreRequest {
  const expires = String(Math.floor(nowMs / 1000) + LIFETIME_S);
  const token: Query = key.sessionToken === null ? [] : [['security-token', key.sessionToken]];
  const signed = key.sessionToken === null ? resource : `${resource}?security-token=${key.sessionToken}`;
  const signature = createHmac('sha1', key.secret)
    .update(['GET', '', '', expires, signed].join('\n'))
    .digest('base64');
  const own: Query = [
    ['Expires', expires],
    ['OSSAccessKeyId', key.id],
    ['Signature', signature],
  ];
  return { ...request, query: [...request.query, ...token, ...own] };
}

function presignOss4(
  request: StoreRequest,
  { key, region, resource, nowMs }: OssScope & { readonly region: string },
): StoreRequest {
  const scope = [dayOf(nowMs), region, 'oss', 'aliyun_v4_request'];
  const token: Query = key.sessionToken === null ? [] : [['x-oss-security-token', key.sessionToken]];
  const query: Query = [
    ...request.query,
    ['x-oss-signature-version', 'OSS4-HMAC-SHA256'],
    ['x-oss-credential', [key.id, ...scope].join('/')],
    ['x-oss-date', timeOf(nowMs)],
    ['x-oss-expires', String(LIFETIME_S)],
    ...token,
  ];
  const canonical = ['GET', encodeKey(resource), canonicalQuery(query), '', '', 'UNSIGNED-PAYLOAD'].join(
    '\n',
  );
  const text = ['OSS4-HMAC-SHA256', timeOf(nowMs), scope.join('/'), sha256(canonical)].join('\n');
  const signature = hmac(scope.reduce<string | Buffer>(hmac, `aliyun_v4${key.secret}`), text).toString('hex');
  return { ...request, query: [...query, ['x-oss-signature', signature]] };
}

/**
 * A shared access signature for reading one blob, by the account's key.
 * @param scope with `blob` as `/container/name`, not encoded
 */
export function presignAzure(
  request: StoreRequest,
  {
    key,
    blob,
    version,
    nowMs,
  }: { readonly key: AzureKey; readonly blob: string; readonly version: string; readonly nowMs: number },
): StoreRequest {
  const ends = new Date(nowMs + 1_000 * LIFETIME_S).toISOString().replace(/\.\d+Z$/, 'Z');
  // Permissions, start, end, resource, policy, addresses, protocol, version, kind, snapshot, five headers of the answer.
  const lines = [
    'r',
    '',
    ends,
    `/blob/${key.account}${blob}`,
    '',
    '',
    '',
    version,
    'b',
    '',
    '',
    '',
    '',
    '',
    '',
  ];
  const sig = createHmac('sha256', Buffer.from(key.key, 'base64')).update(lines.join('\n')).digest('base64');
  const own: Query = [
    ['se', ends],
    ['sig', sig],
    ['sp', 'r'],
    ['sr', 'b'],
    ['sv', version],
  ];
  return { ...request, query: [...request.query, ...own] };
}

/** The parameters beside the signature. @param id who signs */
function paramsOf(
  [prefix, algorithm]: readonly [string, string],
  id: string,
  scope: readonly string[],
  nowMs: number,
): Query {
  return [
    [`${prefix}-Algorithm`, algorithm],
    [`${prefix}-Credential`, [id, ...scope].join('/')],
    [`${prefix}-Date`, timeOf(nowMs)],
    [`${prefix}-Expires`, String(LIFETIME_S)],
    [`${prefix}-SignedHeaders`, 'host'],
  ];
}

/** Of S3 and Google alike: the host is the only header that is signed. */
function canonicalHash(request: StoreRequest, query: Query): string {
  const headers = `host:${hostOf(request.origin)}\n`;
  return sha256(['GET', request.path, canonicalQuery(query), headers, 'host', 'UNSIGNED-PAYLOAD'].join('\n'));
}

function canonicalQuery(query: Query): string {
  return query
    .map(([name, value]) => [encodeStrictly(name), encodeStrictly(value)] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

function timeOf(nowMs: number): string {
  return new Date(nowMs).toISOString().replace(/[:-]|\.\d{3}/g, '');
}

function dayOf(nowMs: number): string {
  return timeOf(nowMs).slice(0, 8);
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
