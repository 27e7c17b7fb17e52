import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../lib/errors.ts';
import { type StoreError, storeError, toStoreError } from './errors.ts';
import { addressOf, createRedis, type RedisTarget } from './redis-client.ts';
import type { StoreLink } from './types.ts';

/**
 * How often an idle connection asks whether the other end is still there: a vanished machine closes nothing. Costs 0.1
 * commands a second, and a dead link is noticed after this and one command's deadline.
 */
const HEARTBEAT_MS = 10_000;
const CLOSE_DEADLINE_MS = 1_000;
const NO_ANSWER_YET = 'not connected yet';
const PLAIN_STORE =
  ' This node expects TLS there: where the head was started with --tls off, or listens on loopback without --tls, start this one with --tls off, too.';
const CUT_AFTER_TLS =
  ' It speaks TLS, and cuts the connection then: either what lies behind it is away, or it does not take the certificate of this node. Are the clocks of both machines right?';

export interface ConnectionHandlers {
  /** before the link counts as connected, at each connect: checks or prepares the session */
  readonly greet: (redis: Redis) => Promise<void>;
  readonly onLink: (link: StoreLink) => void;
}

/** One connection to the server that knows whether it can be used, and says in StoreErrors why not. */
export class StoreConnection {
  readonly redis: Redis;
  readonly #handlers: ConnectionHandlers;
  readonly #address: string;
  readonly #openDeadlineMs: number;
  readonly #heartbeat: NodeJS.Timeout;
  #link: StoreLink = 'lost';
  /** why the server cannot be used, when that is not a matter of waiting */
  #refusal: StoreError | null = null;
  /** nodes of the cluster speak TLS with it, so that one which does not may be there instead */
  readonly #expectsTls: boolean;
  /** with TLS: hands were shaken, as far as this end can know, and nothing was answered since */
  #hasShaken = false;
  #lastError = NO_ANSWER_YET;
  #settleOpening: (() => void) | null = null;

  constructor(target: RedisTarget, handlers: ConnectionHandlers) {
    this.redis = createRedis(target);
    this.#handlers = handlers;
    this.#address = addressOf(target.url);
    this.#expectsTls = target.tls !== undefined;
    this.#openDeadlineMs = target.commandTimeoutMs;
    this.redis.on('error', (error) => this.#failed(error));
    this.redis.on('close', () => this.#setLink('lost'));
    this.redis.on('connect', () => {
      this.#hasShaken = this.#expectsTls;
    });
    this.redis.on('ready', () => void this.#greet());
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  get link(): StoreLink {
    return this.#link;
  }

  /**
   * Begins to connect, and goes on trying for ever.
   * @throws StoreError when the server refuses, or is not reached within one command's deadline; `close` must follow
   */
  async open(): Promise<void> {
    const settled = new Promise<void>((resolve) => {
      this.#settleOpening = resolve;
    });
    this.redis.connect().catch(() => {}); // what failed comes by the events
    const timer = new AbortController();
    const deadline = delay(this.#openDeadlineMs, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([settled, deadline]);
    timer.abort();
    if (this.#link === 'lost') throw this.#unavailable('connect');
  }

  /**
   * Runs commands while the link is up.
   * @param action what is attempted, for the message of an error
   * @throws StoreError at once while the link is down
   */
  async run<T>(action: string, commands: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#link === 'lost') throw this.#unavailable(action);
    try {
      return await commands(this.redis);
    } catch (error) {
      throw toStoreError(error, action, this.#address);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    this.#settleOpening?.();
    const { status } = this.redis;
    // Between two tries no socket is open, and ioredis reports no end.
    const silent = status === 'end' || status === 'wait' || status === 'reconnecting';
    const ended = new Promise<void>((resolve) => this.redis.once('end', () => resolve()));
    this.redis.disconnect();
    if (silent) return;
    const timer = new AbortController();
    await Promise.race([
      ended,
      delay(CLOSE_DEADLINE_MS, undefined, { signal: timer.signal }).catch(() => {}),
    ]);
    timer.abort();
  }

  async #greet(): Promise<void> {
    try {
      await this.#handlers.greet(this.redis);
    } catch (error) {
      this.#failed(error);
      return; // when it was the connection, the next one is greeted anew
    }
    if (this.redis.status !== 'ready') return;
    this.#hasShaken = false;
    this.#refusal = null;
    this.#setLink('connected');
    this.#settleOpening?.();
  }

  #failed(error: unknown): void {
    const known = toStoreError(error, 'connect', this.#address);
    this.#lastError = messageOf(error);
    if (known.code === 'STORE_UNREACHABLE') return;
    this.#refusal = known;
    this.#settleOpening?.();
  }

  #setLink(link: StoreLink): void {
    if (link === this.#link) return;
    this.#link = link;
    this.#handlers.onLink(link);
  }

  #unavailable(action: string): StoreError {
    if (this.#refusal !== null) return this.#refusal;
    // Redis waits for the end of what it takes for a command, where a client begins with TLS.
    const isSilent = this.#lastError === NO_ANSWER_YET || this.#lastError.includes('ETIMEDOUT');
    const noAnswer = this.#hasShaken ? CUT_AFTER_TLS : PLAIN_STORE;
    const advice = this.#expectsTls && isSilent ? noAnswer : '';
    return storeError(
      'STORE_UNREACHABLE',
      `${action}: no connection to the store at ${this.#address} (${this.#lastError}); is it running, and reachable from here?${advice}`,
    );
  }

  #beat(): void {
    if (this.#link === 'connected') this.redis.ping().catch(() => {}); // silence destroys the socket (socketTimeout)
  }
}
