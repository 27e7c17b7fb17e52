import type { Variables } from '../../../config/environment.ts';
import { readIfThere } from '../../../lib/files.ts';
import { isLoopback } from '../../../lib/loopback.ts';
import type { AskServer, Told } from '../connections.ts';
import { type AwsLease, keyInJson, unusable } from './aws-keys.ts';

const TIMEOUT_MS = 1_000;
const TOKEN_TTL_S = '21600';
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
  const tokenFile = variables['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token = tokenFile ? await readIfThere(tokenFile) : variables['AWS_CONTAINER_AUTHORIZATION_TOKEN'];
  const headers: Record<string, string> = token ? { authorization: token.trim() } : {};
  const answer = await ask({ url, method: 'GET', headers, timeoutMs: TIMEOUT_MS, isDirect: true });
  const lease = answer.status === 200 ? keyInJson(answer.text, origin) : null;
  if (lease === null) throw unusable(origin, `a key from ${url}`, `an answer of ${answer.status}`);
  return lease;
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
  const roles = await tell('GET', 'meta-data/iam/security-credentials/', headers);
  const [role = ''] = roles.text.trim().split('\n');
  if (roles.status !== 200 || role === '') return null;
  const path = `meta-data/iam/security-credentials/${encodeURIComponent(role)}`;
  return keyInJson((await tell('GET', path, headers)).text, `the instance's role ${role}`);
}
