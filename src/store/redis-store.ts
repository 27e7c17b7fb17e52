import type { Redis } from 'ioredis';
import { codeOf } from '../lib/errors.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { StoreConnection } from './connection.ts';
import { storeError } from './errors.ts';
import { type StoreKeys, storeKeys } from './keys.ts';
import { createLeaderStore } from './leader-store.ts';
import { createNodeStore } from './node-store.ts';
import { createReadStore } from './read-store.ts';
import { eventsText } from './records.ts';
import { addressOf, type RedisTarget } from './redis-client.ts';
import { defineScripts, runScript } from './scripts.ts';
import { STORE_SCHEMA_VERSION, type Store, type StoreLink } from './types.ts';
import { Watcher } from './watcher.ts';

/** Deadline of a command unless the caller knows better. */
const COMMAND_TIMEOUT_MS = 2_000;

export interface StoreOptions {
  /** `redis://`, `rediss://`, or `redis-sentinel://host:port,host:port/master-name/db`; may hold user and password */
  readonly url: string;
  /** see RedisTarget */
  readonly password?: () => string;
  /** see RedisTarget */
  readonly tls?: LiveTls | null;
  /** hash tag of all keys, for clusters that share a server; `modelserve` by default */
  readonly prefix?: string;
  /** 2000 by default */
  readonly commandTimeoutMs?: number;
  /**
   * A server that cannot be reached yet is no error: the store comes back with its link lost, and tries on. For
   * processes that must start without it. A server that refuses is an error all the same.
   */
  readonly mayBeLost?: boolean;
}

/** What StoreOptions leave open, filled in. */
export function storeTarget(options: StoreOptions): RedisTarget {
  return {
    url: options.url,
    commandTimeoutMs: options.commandTimeoutMs ?? COMMAND_TIMEOUT_MS,
    ...(options.password === undefined ? {} : { password: options.password }),
    ...(options.tls == null ? {} : { tls: options.tls }),
  };
}

/**
 * Connects to the cluster's state.
 * @throws StoreError STORE_UNREACHABLE (unless it may be lost), STORE_AUTH, STORE_SCHEMA or STORE_URL
 */
export async function connectStore(options: StoreOptions): Promise<Store> {
  const target = storeTarget(options);
  const keys = storeKeys(options.prefix);
  const watcher = new Watcher(target, keys);
  const listeners = new Set<(link: StoreLink) => void>();
  let serverRun = '';
  const connection = new StoreConnection(target, {
    greet: async (redis) => {
      await checkSchema(redis, keys, addressOf(target.url));
      serverRun = await readServerRun(redis);
    },
    onLink: (link) => {
      for (const listener of [...listeners]) listener(link);
      if (link === 'connected') watcher.hintAll(); // who was hinted before could not read yet
    },
  });
  defineScripts(connection.redis);
  try {
    await connection.open();
  } catch (error) {
    if (options.mayBeLost !== true || !isUnreachable(error)) {
      await connection.close();
      throw error;
    }
  }
  const leader = createLeaderStore(connection, keys, { serverRun: () => serverRun });
  return {
    ...createNodeStore(connection, keys),
    ...createReadStore(connection, keys),
    ...leader,
    get writeCount() {
      return leader.writeCount;
    },
    get link() {
      return connection.link;
    },
    watch: (topics, onHint) => watcher.watch(topics, onHint),
    onLink: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    appendEvent: async (event) => {
      const call = { keys: [keys.events()], args: [eventsText([event])] };
      await connection.run(`append event ${event.type}`, (redis) => runScript(redis, 'append-event', call));
    },
    close: async () => {
      listeners.clear();
      await Promise.all([watcher.close(), connection.close()]);
    },
  };
}

/** The first to come writes the version; whoever finds another one stays away. */
async function checkSchema(redis: Redis, keys: StoreKeys, address: string): Promise<void> {
  const mine = String(STORE_SCHEMA_VERSION);
  await redis.set(keys.schema(), mine, 'NX');
  const found = await redis.get(keys.schema());
  if (found === mine) return;
  throw storeError(
    'STORE_SCHEMA',
    `the data of the store at ${address} has schema version ${found ?? 'none'}, this program has ${mine}: use the same ` +
      'version of modelserve on every node, or another --redis database',
  );
}

/** The random name of the server's process: another one means that the data may be older than it was. */
async function readServerRun(redis: Redis): Promise<string> {
  const lines = (await redis.info('server')).split(/\r?\n/);
  return lines.find((line) => line.startsWith('run_id:'))?.slice('run_id:'.length) ?? '';
}

function isUnreachable(error: unknown): boolean {
  return codeOf(error) === 'STORE_UNREACHABLE';
}
