import type { Redis } from 'ioredis';
import { toStoreError } from './errors.ts';
import { addressOf, createRedis, type RedisTarget } from './redis-client.ts';

/** A client as BullMQ takes it. BullMQ makes copies of it, which it cannot end while the server is away: we can. */
export interface QueueClient {
  readonly redis: Redis;
  /** whether the server is there now */
  readonly isReady: () => boolean;
  /** ends the client and all copies of it, at once */
  readonly end: () => void;
}

/** A client whose commands fail at once while the server is away. */
export function promptClient(target: RedisTarget): QueueClient {
  return withCopies(createRedis(target));
}

/**
 * A client for commands that block for up to `blockMs`, and wait for a lost server as BullMQ wants it; still, a server
 * that is silent for longer than it may be counts as gone.
 */
export function blockingClient(target: RedisTarget, blockMs: number): QueueClient {
  return withCopies(
    createRedis(target, {
      enableOfflineQueue: true,
      maxRetriesPerRequest: null,
      commandTimeout: undefined,
      socketTimeout: blockMs + target.commandTimeoutMs,
    }),
  );
}

/**
 * Connects a client, since BullMQ never recovers from a first connection that fails.
 * @throws StoreError; the client has ended then
 */
export async function connected(client: QueueClient, target: RedisTarget): Promise<QueueClient> {
  let lastError: unknown = null;
  client.redis.on('error', (error) => {
    lastError = error;
  });
  try {
    await client.redis.connect();
    return client;
  } catch (error) {
    client.end();
    throw toStoreError(lastError ?? error, 'open the apply queue', addressOf(target.url));
  }
}

function withCopies(redis: Redis): QueueClient {
  const copies: Redis[] = [];
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (override) => {
    const copy = duplicate(override);
    copy.on('error', () => {}); // ioredis prints errors that nobody listens to
    copies.push(copy);
    return copy;
  };
  return {
    redis,
    isReady: () => redis.status === 'ready',
    end: () => {
      for (const client of [redis, ...copies]) client.disconnect();
    },
  };
}
