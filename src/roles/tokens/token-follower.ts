import { stepOf } from '../../cluster/rotation/decide.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Store } from '../../store/types.ts';
import type { NodeTokens } from './node-tokens.ts';
import { wantedPair } from './wanted-pair.ts';

export interface TokenFollowerDependencies {
  readonly store: Pick<Store, 'readRotation' | 'watch' | 'onLink'>;
  readonly tokens: NodeTokens;
  readonly log: Log;
  /** this node uses other tokens than before */
  readonly onChanged: () => void;
}

/** What could not be done is tried again; a store that refuses is asked with the other token. */
const RETRY_MS = 1_000;

/** Follows the leader where it replaces the cluster's token. */
export class TokenFollower {
  readonly #dependencies: TokenFollowerDependencies;
  #unwatch: (() => Promise<void>) | null = null;
  #unlink: () => void = () => undefined;
  #timer: NodeJS.Timeout | null = null;
  #following: Promise<void> | null = null;
  #again = false;
  #isStopped = false;
  #problem = '';

  constructor(dependencies: TokenFollowerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Does what the store says now, once.
   * @throws ServeError TOKEN_REPLACED; StoreError
   */
  async settle(): Promise<void> {
    const { store, tokens, onChanged } = this.#dependencies;
    const rotation = await store.readRotation();
    const pair = rotation === null ? null : wantedPair(rotation, tokens.ring);
    if (pair !== null || !tokens.isInUse) await tokens.change(pair ?? tokens.ring);
    if (rotation !== null && tokens.followed(stepOf(rotation))) onChanged();
  }

  /** Goes on with it. Does not throw when the store is away. */
  async start(): Promise<void> {
    this.#unlink = this.#dependencies.store.onLink(() => void this.#follow());
    await this.#follow();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#unlink();
    await this.#following;
    await this.#unwatch?.();
    this.#unwatch = null;
  }

  /** One at a time; a hint that comes meanwhile is followed by another. */
  async #follow(): Promise<void> {
    this.#again = true;
    this.#following ??= this.#untilCurrent().finally(() => {
      this.#following = null;
    });
    await this.#following;
  }

  async #untilCurrent(): Promise<void> {
    while (this.#again && !this.#isStopped) {
      this.#again = false;
      try {
        this.#unwatch ??= await this.#dependencies.store.watch(['rotation'], () => void this.#follow());
        await this.settle();
        this.#problem = '';
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { tokens, log } = this.#dependencies;
    const problem = messageOf(error);
    const isAway = codeOf(error) === 'STORE_UNREACHABLE';
    if (problem !== this.#problem && !isAway) log.error({ problem }, 'the token of the cluster');
    this.#problem = problem;
    // The cluster may have gone on while this node was away: the other of its two tokens may be the one that counts.
    const { shown, other } = tokens.ring;
    if (codeOf(error) === 'STORE_AUTH' && other !== null) {
      await tokens.change({ shown: other, other: shown }).catch(() => undefined);
    }
    if (this.#isStopped || (isAway && other === null)) return; // it is asked when it is back
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      void this.#follow();
    }, RETRY_MS);
  }
}
