import { codeOf, messageOf } from '../lib/errors.ts';
import { TLS_REPLY, toStoreError } from './errors.ts';
import { addressOf, createRedis } from './redis-client.ts';

const ANSWER_MS = 2_000;

/**
 * Asks a store once without a password, so that none goes in clear to one that speaks TLS. Any other answer is left to who
 * connects next, "not without a password" among them.
 * @param url `redis://HOST:PORT`
 * @throws StoreError STORE_AUTH where it speaks TLS; STORE_UNREACHABLE where nothing that is known answers in clear
 */
export async function requirePlainStore(url: string): Promise<void> {
  const redis = createRedis({ url, commandTimeoutMs: ANSWER_MS }, { retryStrategy: () => null });
  let lastError: unknown = null;
  redis.on('error', (error) => {
    lastError = error;
  });
  try {
    await redis.connect();
  } catch (error) {
    const cause = lastError ?? error;
    const known = toStoreError(cause, 'connect', addressOf(url));
    if (codeOf(known) === 'STORE_UNREACHABLE' || messageOf(cause).startsWith(TLS_REPLY)) throw known;
  } finally {
    redis.disconnect();
  }
}
