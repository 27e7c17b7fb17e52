import { messageOf, ServeError } from '../lib/errors.ts';
import { isOutOfTime, isUntrusted, OUT_OF_TIME } from '../lib/tls/errors.ts';

type StoreErrorCode =
  /** no answer within the deadline, or no connection: try again later */
  | 'STORE_UNREACHABLE'
  /** the server refuses the password, or the right to do this */
  | 'STORE_AUTH'
  /** the data there was written by another version */
  | 'STORE_SCHEMA'
  /** the server answered something that this version does not understand */
  | 'STORE_REPLY'
  /** the URL of the store cannot be understood */
  | 'STORE_URL'
  /** the port for the store's server is taken by another program */
  | 'STORE_PORT_TAKEN'
  /** the store's server did not start */
  | 'STORE_START'
  /** an apply job did not end within its deadline */
  | 'APPLY_TIMEOUT'
  /** the process that worked on an apply job went away, more than once */
  | 'APPLY_INTERRUPTED';

export class StoreError extends ServeError<{ readonly code: StoreErrorCode }> {
  override readonly name = 'StoreError';
}

export function storeError(code: StoreErrorCode, message: string, cause?: unknown): StoreError {
  return new StoreError(message, { code }, cause === undefined ? {} : { cause });
}

const AUTH_REPLY = /^(WRONGPASS|NOAUTH|NOPERM|ERR invalid password|ERR AUTH)/;
/** Replies of a server that cannot serve now: it loads its data, or is not the master any more. */
const AWAY_REPLY = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|BUSY|TRYAGAIN|UNBLOCKED)/;

/** What happened where a node's token is the cluster's no more. */
const REPLACED =
  'Where the token was replaced while this node was away (modelserve token rotate), copy the file `token` from the ' +
  "head's state directory and give it with --token-file.";

/** What the front of a store answers to those who do not speak TLS. */
export const TLS_REPLY = 'TLSREQUIRED';

/** What ioredis says of a connection that is not there, in words for people. */
const CLIENT_TEXTS: ReadonlyMap<string, string> = new Map([
  ["Stream isn't writeable and enableOfflineQueue options is false", 'the connection is lost'],
  ['Connection is closed.', 'the connection is closed'],
  ['Command timed out', 'it is silent'],
  [
    'Reached the max retries per request limit (which is 0). Refer to "maxRetriesPerRequest" option for details.',
    'the connection was lost',
  ],
]);

function clientText(text: string): string {
  if (text.startsWith('Unknown RESP type')) return 'what answers there speaks another protocol';
  return CLIENT_TEXTS.get(text) ?? text;
}

/**
 * What the Redis client threw, as a StoreError.
 * @param action what was attempted, for the message
 * @param address of the server, without password
 */
export function toStoreError(thrown: unknown, action: string, address: string): StoreError {
  if (thrown instanceof StoreError) return thrown;
  const text = messageOf(thrown);
  if (AUTH_REPLY.test(text)) {
    return storeError(
      'STORE_AUTH',
      `the store at ${address} refuses access (${text}): give the password in the URL, ` +
        'or use the token of the cluster that this store belongs to (--token-file). ' +
        REPLACED,
      thrown,
    );
  }
  if (text.startsWith(TLS_REPLY)) {
    return storeError(
      'STORE_AUTH',
      `the store at ${address} speaks TLS, and this node does not: start it with --tls nodes (or all, as its head)`,
      thrown,
    );
  }
  if (isOutOfTime(thrown)) {
    return storeError(
      'STORE_AUTH',
      `the store at ${address} shows a certificate that is not good now (${text}): ${OUT_OF_TIME}`,
      thrown,
    );
  }
  if (isUntrusted(thrown)) {
    return storeError(
      'STORE_AUTH',
      `the store at ${address} shows no certificate of this node's cluster (${text}): is the token that of its head? ` +
        `${REPLACED} A store of your own with TLS is given with --redis rediss://…`,
      thrown,
    );
  }
  const isReply = thrown instanceof Error && thrown.name === 'ReplyError';
  if (isReply && !AWAY_REPLY.test(text)) {
    return storeError(
      'STORE_REPLY',
      `${action}: the store at ${address} answered "${text}"; it must be Redis 6.2 or Valkey 7.2 or newer`,
      thrown,
    );
  }
  return storeError(
    'STORE_UNREACHABLE',
    `${action}: no answer from the store at ${address} (${clientText(text)}); is it running, and reachable from here?`,
    thrown,
  );
}
