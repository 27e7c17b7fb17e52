import { existsSync } from 'node:fs';
import { defaultStateDir, readEnvironment } from '../config/environment.ts';
import { statePaths } from '../config/paths.ts';
import { apiKeyOf, readToken } from '../config/token.ts';
import { isRunning } from '../lib/process/identity.ts';
import { formatHostPort, parseHostPort } from '../roles/addresses.ts';
import { readStateLock } from '../roles/state-dir.ts';
import { AdminClient } from './admin-client.ts';
import { CommandFailure, ExitCode } from './exit.ts';

/** How a command finds the cluster; what is not given comes from the environment, then from this user's local head. */
export interface TargetOptions {
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
}

const DEFAULT_ADDRESS = '127.0.0.1:8265';

/** @throws ServeError BAD_USAGE */
export async function adminClient(options: TargetOptions): Promise<AdminClient> {
  const address = givenAddress(options) ?? (await localHeadAddress()) ?? DEFAULT_ADDRESS;
  return new AdminClient({ address, apiKey: apiKeyOf(await tokenOf(options)) });
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
  const local = statePaths(defaultStateDir('head')).token;
  if (existsSync(local)) return await readToken(local);
  throw new CommandFailure(
    `no head of yours has been started on this machine (there is no ${local}). Start one with \`modelserve head\`; for a cluster elsewhere give --address HOST:8265 and --token-file (a head prints where its token lies).`,
    ExitCode.unreachable,
  );
}

function givenAddress(options: TargetOptions): string | null {
  const { address: fromEnvironment } = readEnvironment();
  const given = options.address ?? fromEnvironment;
  if (given === null) return null;
  return formatHostPort(
    parseHostPort(given, options.address === undefined ? 'MODELSERVE_ADDRESS' : '--address'),
  );
}

async function localHeadAddress(): Promise<string | null> {
  const lock = await readStateLock(statePaths(defaultStateDir('head')));
  return lock !== null && isRunning(lock) ? lock.admin : null;
}
