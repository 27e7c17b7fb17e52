import type { Variables } from '../../../config/environment.ts';
import { readIfThere } from '../../../lib/files.ts';
import { isLoopback } from '../../../lib/loopback.ts';
import type { AskServer, Told } from '../connections.ts';
import { passing } from '../passing.ts';
import { type AwsLease, keyInJson, unusable } from './aws-keys.ts';
import { objectIn } from './token-answer.ts';

const TIMEOUT_MS = 1_000;
const TOKEN_TTL_S = '21600';
const ROLES = 'meta-data/iam/security-credentials/';
/** Where containers of ECS and pods of EKS are given their keys. */
const CONTAINER_HOSTS = ['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]'];

/**
 * The key of the container's role (ECS, EKS), by `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`.
 * @returns null where no variable names a server
 * @throws SourceError SOURCE_CREDENTIALS when it gives none; what is worth another try
 */
export async function containerKey(variables: Variables, ask: AskServer): Promise<AwsLease | null> {
  const relative = variables['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  const full = variables['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (!relative && !full) return null;
  const url = relative ? `http://${CONTAINER_HOSTS[0]}${relative}` : (full ?? '');
  const origin = 'the role of the container';
  if (!isAllowed(url)) {
    throw unusable('AWS_CONTAINER_CREDENTIALS_FULL_URI', 'https, or this machine', 'another address');
  }
  const token = await containerToken(variables);
  const headers: Record<string, string> = token === '' ? {} : { authorization: token };
  const answer = await ask({ url, method: 'GET', headers, timeoutMs: TIMEOUT_MS, isDirect: true });
  return keyOf(answer, origin, url);
}

/** @returns '' where none is asked for */
async function containerToken(variables: Variables): Promise<string> {
  const file = variables['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] || null;
  if (file === null) return (variables['AWS_CONTAINER_AUTHORIZATION_TOKEN'] || '').trim();
  const token = (await readIfThere(file))?.trim();
  if (!token) throw unusable('AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE', `a token in ${file}`, 'none');
  return token;
}

/** @throws SourceError when it is none, in the words of who was asked; what is worth another try */
function keyOf({ status, text }: Told, origin: string, asked: string): AwsLease {
  if (status === 0 || status === 429 || status >= 500)
    throw passing(`${asked} answers ${status || 'nothing'}`);
  const lease = status === 200 ? keyInJson(text, origin) : null;
  if (lease !== null) return lease;
  const { Code, code, Message, message } = objectIn(text);
  const words = [Code ?? code, Message ?? message].filter((word) => typeof word === 'string');
  throw unusable(origin, `a key from ${asked}`, [`an answer of ${status}`, ...words].join(' '));
}

/** A token that a variable holds is not sent in the clear to another machine. */
function isAllowed(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  if (protocol === 'https:') return true;
  return isLoopback(hostname.replace(/^\[|\]$/g, '')) || CONTAINER_HOSTS.includes(hostname);
}

/**
 * The key of the instance's role (EC2), by the metadata service's second version.
 * @returns null on a machine without that service, or without a role
 */
export async function instanceKey(variables: Variables, ask: AskServer): Promise<AwsLease | null> {
  if (/^true$/i.test(variables['AWS_EC2_METADATA_DISABLED'] || '')) return null;
  const isIpv6 = /^ipv6$/i.test(variables['AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE'] || '');
  const usual = isIpv6 ? 'http://[fd00:ec2::254]' : 'http://169.254.169.254';
  const host = (variables['AWS_EC2_METADATA_SERVICE_ENDPOINT'] || usual).replace(/\/+$/, '');
  const tell = async (method: 'GET' | 'PUT', path: string, headers: Record<string, string>) => {
    const question = {
      url: `${host}/latest/${path}`,
      method,
      headers,
      timeoutMs: TIMEOUT_MS,
      isDirect: true,
    };
    return await ask(question).catch((): Told => ({ status: 0, text: '' }));
  };
  const token = await tell('PUT', 'api/token', { 'x-aws-ec2-metadata-token-ttl-seconds': TOKEN_TTL_S });
  if (token.status !== 200) return null;
  const headers = { 'x-aws-ec2-metadata-token': token.text };
  // From here on the service is there: what it cannot say at the moment is no reason to ask as nobody.
  const roles = await tell('GET', ROLES, headers);
  if (roles.status === 0 || roles.status >= 500)
    throw passing(`${host} answers ${roles.status || 'nothing'}`);
  const [role = ''] = roles.text.trim().split('\n');
  if (roles.status !== 200 || role === '') return null;
  const answer = await tell('GET', `${ROLES}${encodeURIComponent(role)}`, headers);
  return keyOf(answer, `the instance's role ${role}`, host);
}
