import { codeOf } from '../lib/errors.ts';
import { StoreConnection } from './connection.ts';
import { type StoreKeys, TOPICS } from './keys.ts';
import type { RedisTarget } from './redis-client.ts';
import type { Topic } from './types.ts';

interface Subscription {
  readonly topics: ReadonlySet<Topic>;
  readonly onHint: (topic: Topic) => void;
}

/**
 * Hints of changes over pub/sub, on a connection of its own (made with the first subscription). Pub/sub forgets whoever
 * is away, so each time the connection is there again every topic is hinted.
 */
export class Watcher {
  readonly #target: RedisTarget;
  readonly #topicOf: ReadonlyMap<string, Topic>;
  readonly #keys: StoreKeys;
  readonly #subscriptions = new Set<Subscription>();
  #connection: StoreConnection | null = null;

  constructor(target: RedisTarget, keys: StoreKeys) {
    this.#target = target;
    this.#keys = keys;
    this.#topicOf = new Map(TOPICS.map((topic) => [keys.hints(topic), topic]));
  }

  /**
   * Resolves when the subscription is active or, while the store is lost, after one command's deadline: it becomes
   * active by itself then.
   * @throws StoreError STORE_AUTH when the server refuses
   */
  async watch(topics: readonly Topic[], onHint: (topic: Topic) => void): Promise<() => Promise<void>> {
    const subscription = { topics: new Set(topics), onHint };
    this.#subscriptions.add(subscription);
    try {
      await this.#subscribe(topics);
    } catch (error) {
      if (codeOf(error) !== 'STORE_UNREACHABLE') {
        this.#subscriptions.delete(subscription);
        throw error;
      }
    }
    return async () => {
      if (this.#subscriptions.delete(subscription)) await this.#unsubscribe(topics);
    };
  }

  /** Tells every subscriber to read again all that it watches. */
  hintAll(): void {
    if (this.#connection?.link !== 'connected') return; // it will, when it is
    for (const { topics, onHint } of [...this.#subscriptions]) {
      for (const topic of topics) onHint(topic);
    }
  }

  async close(): Promise<void> {
    this.#subscriptions.clear();
    await this.#connection?.close();
  }

  async #subscribe(topics: readonly Topic[]): Promise<void> {
    if (this.#connection === null) {
      this.#connection = this.#connect();
      await this.#connection.open();
      return;
    }
    if (this.#connection.link === 'lost') return;
    const channels = topics.map((topic) => this.#keys.hints(topic));
    if (channels.length > 0) await this.#connection.run('subscribe', (redis) => redis.subscribe(...channels));
  }

  async #unsubscribe(topics: readonly Topic[]): Promise<void> {
    const wanted = this.#wantedTopics();
    const channels = topics.filter((topic) => !wanted.has(topic)).map((topic) => this.#keys.hints(topic));
    if (channels.length === 0 || this.#connection?.link !== 'connected') return;
    try {
      await this.#connection.run('unsubscribe', (redis) => redis.unsubscribe(...channels));
    } catch {
      // the link is lost: what nobody wants is not subscribed again
    }
  }

  #connect(): StoreConnection {
    const connection = new StoreConnection(this.#target, {
      greet: async (redis) => {
        const channels = [...this.#wantedTopics()].map((topic) => this.#keys.hints(topic));
        if (channels.length > 0) await redis.subscribe(...channels);
      },
      onLink: (link) => {
        if (link === 'connected') this.hintAll();
      },
    });
    connection.redis.on('message', (channel: string) => {
      const topic = this.#topicOf.get(channel);
      if (topic !== undefined) this.#hint(topic);
    });
    return connection;
  }

  #hint(topic: Topic): void {
    for (const subscription of [...this.#subscriptions]) {
      if (subscription.topics.has(topic)) subscription.onHint(topic);
    }
  }

  #wantedTopics(): ReadonlySet<Topic> {
    return new Set([...this.#subscriptions].flatMap(({ topics }) => [...topics]));
  }
}
