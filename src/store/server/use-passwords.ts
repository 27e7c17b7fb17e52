import { sha256 } from '../../lib/hash.ts';
import { storeError } from '../errors.ts';
import { createRedis } from '../redis-client.ts';
import { type StorePasswords, userRules } from './passwords.ts';

const COMMAND_TIMEOUT_MS = 5_000;

/**
 * Makes a running server accept these passwords and no others. Where one is accepted no more, every connection is cut, since
 * the server does not tell by which of them it was opened: whoever has another comes back at once.
 * @throws StoreError STORE_AUTH where it takes none of them; STORE_UNREACHABLE
 */
export async function usePasswords(url: string, passwords: StorePasswords): Promise<void> {
  let refusal: unknown = null;
  for (const password of passwords) {
    const redis = clientOf(url, password);
    redis.on('error', (error) => {
      refusal = error;
    });
    try {
      await redis.connect();
      const before = passwordsIn(await redis.acl('GETUSER', 'default'));
      const wanted = new Set(passwords.map(sha256));
      if (before.length === wanted.size && before.every((hash) => wanted.has(hash))) return;
      const change = redis.multi().acl('SETUSER', 'default', 'resetpass', ...userRules(passwords));
      if (before.some((hash) => !wanted.has(hash))) {
        change
          .call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
          .call('CLIENT', 'KILL', 'TYPE', 'pubsub');
      }
      const failed = (await change.exec())?.find(([error]) => error !== null);
      if (failed !== undefined) throw failed[0];
      return;
    } catch (error) {
      refusal ??= error;
    } finally {
      redis.disconnect();
    }
  }
  throw storeError('STORE_AUTH', `the store at ${url} takes none of this node's passwords`, refusal);
}

/** Has a server write its append-only file anew, without what was overwritten or deleted. @throws what the client throws */
export async function rewriteLog(url: string, [password]: StorePasswords): Promise<void> {
  const redis = clientOf(url, password);
  try {
    await redis.connect();
    await redis.bgrewriteaof();
  } finally {
    redis.disconnect();
  }
}

function clientOf(url: string, password: string): ReturnType<typeof createRedis> {
  const target = { url, password: () => password, commandTimeoutMs: COMMAND_TIMEOUT_MS };
  return createRedis(target, { retryStrategy: () => null });
}

/** Hashes in the answer of `ACL GETUSER`: a list of names and values. */
function passwordsIn(answer: unknown): readonly string[] {
  const fields = Array.isArray(answer) ? answer : [];
  const hashes: unknown = fields[fields.indexOf('passwords') + 1];
  return Array.isArray(hashes) ? hashes.map(String) : [];
}
