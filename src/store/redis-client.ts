import type { ConnectionOptions } from 'node:tls';
import { Redis, type RedisOptions } from 'ioredis';
import { messageOf } from '../lib/errors.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { storeError } from './errors.ts';

/** Which server, and how long to wait for it. */
export interface RedisTarget {
  /** `redis://`, `rediss://`, or `redis-sentinel://host:port,host:port/master-name/db`; may hold user and password */
  readonly url: string;
  /** used where the URL holds none; asked at each connect */
  readonly password?: () => string;
  /** the certificate of this node, for a store of the cluster that speaks TLS; a user's own store has `rediss://` */
  readonly tls?: LiveTls;
  /** deadline of each command */
  readonly commandTimeoutMs: number;
}

/** What a caller may want otherwise than a command within a deadline. */
type ClientOverrides = Pick<
  RedisOptions,
  'commandTimeout' | 'socketTimeout' | 'enableOfflineQueue' | 'maxRetriesPerRequest' | 'retryStrategy'
>;
type AddressOptions = Pick<
  RedisOptions,
  'host' | 'port' | 'path' | 'db' | 'username' | 'password' | 'tls' | 'sentinels' | 'name'
>;

/** Connections that are lost are tried again at least this often, for ever. */
const RETRY_CEILING_MS = 500;
const RETRY_FLOOR_MS = 50;
/** A connection that has asked and heard nothing is destroyed this long after it was told to end. */
const DISCONNECT_GRACE_MS = 200;
const SENTINEL_PORT = 26_379;

/**
 * An ioredis client that does not connect by itself. While the link is down it refuses commands at once, and tries to
 * reconnect for ever. Its errors are swallowed here (each failed command says what is wrong): ioredis prints them else.
 * @throws StoreError STORE_URL
 */
export function createRedis(target: RedisTarget, overrides: ClientOverrides = {}): Redis {
  const redis = new Redis({
    ...addressOptions(target),
    lazyConnect: true,
    connectTimeout: target.commandTimeoutMs,
    commandTimeout: target.commandTimeoutMs,
    // Also of what was asked in the handshake: a server that accepts and stays silent is as good as gone.
    socketTimeout: target.commandTimeoutMs,
    disconnectTimeout: DISCONNECT_GRACE_MS,
    maxLoadingRetryTime: RETRY_CEILING_MS,
    enableOfflineQueue: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: retryDelayMs,
    // A master that became a replica: ask again who the master is.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    disableClientInfo: true,
    ...overrides,
  });
  redis.on('error', () => {});
  followPassword(redis, target);
  return redis;
}

/** Read at each connect: the password may be another by then. ioredis copies its options, so it is set afterwards. */
function followPassword(redis: Redis, { url, password }: RedisTarget): void {
  if (password === undefined || hasPassword(url)) return;
  Object.defineProperty(redis.options, 'password', { get: password, enumerable: true });
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (override) => {
    const copy = duplicate(override);
    Object.defineProperty(copy.options, 'password', { get: password, enumerable: true });
    return copy;
  };
}

function hasPassword(url: string): boolean {
  return /^[a-z-]+:\/\/[^@/]*:[^@/]+@/.test(url);
}

/** The server's address as people may see it: without user and password. */
export function addressOf(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//');
}

function retryDelayMs(attempt: number): number {
  const ceiling = Math.min(RETRY_CEILING_MS, RETRY_FLOOR_MS * 2 ** Math.min(attempt, 10));
  return RETRY_FLOOR_MS + Math.random() * (ceiling - RETRY_FLOOR_MS);
}

function addressOptions(target: RedisTarget): AddressOptions {
  if (target.url.startsWith('unix:')) {
    return { path: target.url.slice('unix:'.length) };
  }
  const sentinel = target.url.startsWith('redis-sentinel://');
  const url = parseUrl(target.url, sentinel);
  const password = url.password === '' ? undefined : decodeURIComponent(url.password);
  const login = {
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(password === undefined ? {} : { password }),
  };
  if (sentinel) return { ...login, ...sentinelOptions(target.url, url) };
  return {
    ...login,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: databaseNumber(url.pathname.slice(1), target.url),
    ...(target.tls !== undefined
      ? { tls: follow(target.tls) }
      : url.protocol === 'rediss:'
        ? { tls: {} }
        : {}),
  };
}

/** Read at each connect: the certificate may be another by then. */
function follow(tls: LiveTls): ConnectionOptions {
  return {
    get secureContext() {
      return tls.clientOptions.secureContext;
    },
    get checkServerIdentity() {
      return tls.clientOptions.checkServerIdentity;
    },
  };
}

function sentinelOptions(text: string, url: URL): AddressOptions {
  const [name, database] = url.pathname.slice(1).split('/');
  if (name === undefined || name === '')
    throw badUrl(text, 'a sentinel URL names its master after the hosts');
  const sentinels = hostList(text)
    .split(',')
    .map((entry) => /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(entry))
    .map((match) => ({
      host: match?.[1]?.replace(/^\[|\]$/g, '') ?? '',
      port: Number(match?.[2] ?? SENTINEL_PORT),
    }));
  if (sentinels.some(({ host }) => host === ''))
    throw badUrl(text, 'hosts are host:port, separated by commas');
  return { sentinels, name, db: databaseNumber(database ?? '', text) };
}

/** `URL` knows one host only, so of several it is shown the first. */
function parseUrl(text: string, sentinel: boolean): URL {
  const single = sentinel ? text.replace(hostList(text), hostList(text).split(',')[0] ?? '') : text;
  let url: URL;
  try {
    url = new URL(single.replace(/^redis-sentinel:/, 'redis:'));
  } catch (cause) {
    throw badUrl(text, messageOf(cause));
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:')
    throw badUrl(text, `unknown scheme ${url.protocol}`);
  if (url.hostname === '') throw badUrl(text, 'no host');
  return url;
}

function hostList(text: string): string {
  const authority = text.slice(text.indexOf('//') + 2).split('/')[0] ?? '';
  return authority.slice(authority.lastIndexOf('@') + 1);
}

function databaseNumber(text: string, url: string): number {
  if (text === '') return 0;
  if (!/^\d+$/.test(text)) throw badUrl(url, `database "${text}" is not a number`);
  return Number(text);
}

function badUrl(url: string, why: string): Error {
  return storeError(
    'STORE_URL',
    `"${addressOf(url)}" is not the URL of a store (${why}): expected redis://host:6379, rediss://host:6380 or ` +
      'redis-sentinel://host1:26379,host2:26379/master-name/0',
  );
}
