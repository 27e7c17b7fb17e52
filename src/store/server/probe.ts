import { messageOf } from '../../lib/errors.ts';
import { toStoreError } from '../errors.ts';
import { createRedis } from '../redis-client.ts';
import type { StorePasswords } from './passwords.ts';

/** What answers at an address when asked with our password. */
export type Probe =
  | {
      readonly state: 'open';
      readonly kind: 'redis' | 'valkey';
      readonly pid: number;
      /** absolute path of the file it was configured by, '' for none */
      readonly configFile: string;
    }
  /** something listens that is no Redis, or refuses the password */
  | { readonly state: 'foreign'; readonly reason: string }
  /** nothing listens, or it is not ready yet */
  | { readonly state: 'absent'; readonly reason: string };

const PROBE_TIMEOUT_MS = 1_000;

/** Asks once who is there, with each password until one is taken. Never throws. */
export async function probe(url: string, passwords: StorePasswords): Promise<Probe> {
  let found: Probe = { state: 'absent', reason: 'not asked' };
  for (const password of passwords) {
    found = await probeWith(url, password);
    if (found.state !== 'foreign') return found;
  }
  return found;
}

async function probeWith(url: string, password: string): Promise<Probe> {
  const redis = createRedis(
    { url, password: () => password, commandTimeoutMs: PROBE_TIMEOUT_MS },
    { retryStrategy: () => null },
  );
  let lastError: unknown = null;
  redis.on('error', (error) => {
    lastError = error;
  });
  try {
    await redis.connect();
    const fields = infoFields(await redis.info('server'));
    return {
      state: 'open',
      kind: fields.has('valkey_version') ? 'valkey' : 'redis',
      pid: Number(fields.get('process_id')),
      configFile: fields.get('config_file') ?? '',
    };
  } catch (error) {
    const cause = lastError ?? error;
    const { code } = toStoreError(cause, 'probe', url);
    return { state: code === 'STORE_UNREACHABLE' ? 'absent' : 'foreign', reason: messageOf(cause) };
  } finally {
    redis.disconnect();
  }
}

/** Asks a server to save and end. Its connection breaks instead of an answer. */
export async function askToShutDown(url: string, [password]: StorePasswords): Promise<void> {
  const redis = createRedis(
    { url, password: () => password, commandTimeoutMs: PROBE_TIMEOUT_MS },
    { retryStrategy: () => null },
  );
  try {
    await redis.connect();
    await redis.shutdown();
  } catch {
    // gone, as asked; or it does not answer, and its process is ended otherwise
  } finally {
    redis.disconnect();
  }
}

function infoFields(text: string): ReadonlyMap<string, string> {
  return new Map(
    text
      .split(/\r?\n/)
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}
