import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { defaultStateDir, readEnvironment } from '../config/environment.ts';
import { statePaths } from '../config/paths.ts';
import { apiKeyOf, clusterKeys, readToken } from '../config/token.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import { isRunning } from '../lib/process/identity.ts';
import { authorityFrom } from '../lib/tls/authority.ts';
import { formatHostPort, parseHostPort } from '../roles/addresses.ts';
import { readStateLock } from '../roles/state-lock.ts';
import { AdminClient } from './admin-client.ts';
import { CommandFailure, ExitCode } from './exit.ts';

/** How a command finds the cluster; what is not given comes from the environment, then from this user's local head. */
export interface TargetOptions {
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly ca?: string | undefined;
}

const DEFAULT_ADDRESS = '127.0.0.1:8265';

/** @throws ServeError BAD_USAGE */
export async function adminClient(options: TargetOptions): Promise<AdminClient> {
  const address = givenAddress(options) ?? (await localHeadAddress()) ?? DEFAULT_ADDRESS;
  const token = await tokenOf(options);
  const authorities = address.startsWith('https:') ? await trustedAuthorities(token, options) : [];
  return new AdminClient({ address, apiKey: apiKeyOf(token), authorities });
}

/**
 * Whose certificates are believed: public authorities, those of --ca, and the cluster's own where the token is at hand.
 * @returns PEM
 */
async function trustedAuthorities(token: string, options: TargetOptions): Promise<readonly string[]> {
  const file = options.ca ?? readEnvironment().caFile;
  const given = file === null ? [] : [await readAuthorities(file)];
  // From a key of the API nothing follows.
  if (apiKeyOf(token) === token) return [...rootCertificates, ...given];
  const { authoritySecret, clusterId } = clusterKeys(token);
  const { certificate } = await authorityFrom(authoritySecret, clusterId);
  return [...rootCertificates, certificate, ...given];
}

async function readAuthorities(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CommandFailure(
      `cannot read ${file} (${codeOf(cause) ?? messageOf(cause)}): --ca expects a file`,
      ExitCode.usage,
    );
  });
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new CommandFailure(
    `${file} holds no certificate: --ca expects PEM (-----BEGIN CERTIFICATE-----)`,
    ExitCode.usage,
  );
}

/**
 * --token, --token-file, MODELSERVE_TOKEN, else the token of this user's local state directory.
 * @throws CommandFailure (unreachable) when there is none
 */
export async function tokenOf(options: TargetOptions): Promise<string> {
  const { token: fromEnvironment } = readEnvironment();
  if (options.token !== undefined) return options.token;
  if (options.tokenFile !== undefined) return await readToken(options.tokenFile);
  if (fromEnvironment !== null) return fromEnvironment;
  const local = localTokenFile();
  if (existsSync(local)) return await readToken(local);
  throw new CommandFailure(
    `no head of yours has been started on this machine (there is no ${local}). Start one with \`modelserve head\`; for a cluster elsewhere give --address HOST:8265 and --token-file (a head prints where its token lies).`,
    ExitCode.unreachable,
  );
}

/** Where `tokenOf` finds it, for people. */
export function tokenPlace({ token, tokenFile }: TargetOptions): string {
  if (token !== undefined) return '--token';
  return tokenFile ?? (readEnvironment().token === null ? localTokenFile() : 'MODELSERVE_TOKEN');
}

function localTokenFile(): string {
  return statePaths(defaultStateDir('head')).token;
}

function givenAddress(options: TargetOptions): string | null {
  const { address: fromEnvironment } = readEnvironment();
  const given = options.address ?? fromEnvironment;
  if (given === null) return null;
  const option = options.address === undefined ? 'MODELSERVE_ADDRESS' : '--address';
  const scheme = given.startsWith('https://') ? 'https://' : '';
  return scheme + formatHostPort(parseHostPort(given.slice(scheme.length), option));
}

async function localHeadAddress(): Promise<string | null> {
  const lock = await readStateLock(statePaths(defaultStateDir('head')));
  return lock !== null && isRunning(lock) ? lock.admin : null;
}
