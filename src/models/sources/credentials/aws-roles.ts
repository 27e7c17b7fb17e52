import type { Variables } from '../../../config/environment.ts';
import { readIfThere } from '../../../lib/files.ts';
import type { AskServer } from '../connections.ts';
import { parseFailure } from '../list-xml.ts';
import { passing } from '../passing.ts';
import { pathAndQuery, type StoreRequest } from '../requests.ts';
import { type AccessKey, amazonDomain, signS3 } from '../sign-s3.ts';
import { type AwsLease, unusable } from './aws-keys.ts';

export interface RoleContext {
  readonly variables: Variables;
  readonly ask: AskServer;
  readonly region: string;
}

/** A role, and who takes it. */
export interface Role {
  readonly arn: string;
  readonly session: string;
  readonly externalId: string;
  /** for messages */
  readonly origin: string;
}

const VERSION = '2011-06-15';

/** The role that a key may take. @throws SourceError SOURCE_CREDENTIALS in the words of AWS; what is worth another try */
export async function assumeRole(role: Role, key: AccessKey, context: RoleContext): Promise<AwsLease> {
  const request = stsRequest(context, [
    ['Action', 'AssumeRole'],
    ...(role.externalId === '' ? [] : [['ExternalId', role.externalId] as const]),
    ...common(role),
  ]);
  const headers = signS3(request, { key, region: context.region, service: 'sts', nowMs: Date.now() });
  return await take(role, { ...request, headers }, context.ask);
}

/** The role of whoever holds the token in a file, as pods of EKS do. */
export async function assumeRoleByToken(
  role: Role,
  tokenFile: string,
  context: RoleContext,
): Promise<AwsLease> {
  const token = (await readIfThere(tokenFile))?.trim();
  if (!token) throw unusable(role.origin, `a token in ${tokenFile}`, 'none');
  const query = [
    ['Action', 'AssumeRoleWithWebIdentity'],
    ...common(role),
    ['WebIdentityToken', token],
  ] as const;
  return await take(role, stsRequest(context, query), context.ask);
}

function common({ arn, session }: Role): StoreRequest['query'] {
  return [
    ['RoleArn', arn],
    ['RoleSessionName', session],
    ['Version', VERSION],
  ];
}

function stsRequest({ variables, region }: RoleContext, query: StoreRequest['query']): StoreRequest {
  const own = variables['AWS_ENDPOINT_URL_STS']?.replace(/\/+$/, '');
  return { origin: own || `https://sts.${region}.${amazonDomain(region)}`, path: '/', query, headers: {} };
}

async function take(role: Role, request: StoreRequest, ask: AskServer): Promise<AwsLease> {
  const url = `${request.origin}${pathAndQuery(request)}`;
  const { status, text } = await ask({ url, method: 'GET', headers: request.headers });
  if (status >= 500 || status === 429) throw passing(`the token service of AWS answers ${status}`);
  const field = (name: string): string => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1] ?? '';
  const [id, secret, sessionToken] = ['AccessKeyId', 'SecretAccessKey', 'SessionToken'].map(field);
  if (status === 200 && id && secret && sessionToken) {
    const endsAtMs = Date.parse(field('Expiration'));
    const value = { key: { id, secret, sessionToken }, origin: role.origin };
    return { value, endsAtMs: Number.isNaN(endsAtMs) ? null : endsAtMs };
  }
  const failure = parseFailure(text);
  const words = failure === null ? '' : ` ${failure.code}: ${failure.message}`;
  throw unusable(role.origin, `the role ${role.arn}`, `an answer of ${status}${words}`);
}
