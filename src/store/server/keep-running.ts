import { messageOf } from '../../lib/errors.ts';
import type { StorePasswords } from './passwords.ts';
import type { RunningServer } from './running-server.ts';

/** What a person may want to know of a server that is kept running. */
export type KeeperEvent =
  | { readonly type: 'ended'; readonly reason: string; readonly retryInMs: number }
  | { readonly type: 'started'; readonly pid: number | null }
  | { readonly type: 'start-failed'; readonly reason: string; readonly retryInMs: number };

/** A server that lived this long did not die of its start: the next one comes at once. */
const SETTLED_MS = 10_000;
const RETRY_FLOOR_MS = 250;
const RETRY_CEILING_MS = 5_000;

/** Starts a server again whenever it ends, at once the first time, later with growing pauses, until it is stopped. */
export class ServerKeeper {
  readonly #start: () => Promise<RunningServer>;
  readonly #onEvent: (event: KeeperEvent) => void;
  #server: RunningServer | null;
  #startedAtMs = performance.now();
  #failures = 0;
  #timer: NodeJS.Timeout | null = null;
  #starting: Promise<void> | null = null;
  #stopped: Promise<void> | null = null;

  constructor(
    first: RunningServer,
    start: () => Promise<RunningServer>,
    onEvent: (event: KeeperEvent) => void,
  ) {
    this.#server = first;
    this.#start = start;
    this.#onEvent = onEvent;
    this.#watch(first);
  }

  /** null while there is no process */
  get pid(): number | null {
    return this.#server?.pid ?? null;
  }

  /** Makes it take these passwords; while there is no process, the next one takes what it is started with. */
  async usePasswords(passwords: StorePasswords): Promise<void> {
    await this.#starting;
    await this.#server?.usePasswords(passwords);
  }

  /** See RunningServer.compact. */
  async compact(): Promise<void> {
    await this.#server?.compact();
  }

  /** @param keep leaves it running where it can outlive this process */
  stop(keep: boolean): Promise<void> {
    this.#stopped ??= this.#stop(keep);
    return this.#stopped;
  }

  async #stop(keep: boolean): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#starting;
    await (keep ? this.#server?.release() : this.#server?.shutdown());
    this.#server = null;
  }

  #watch(server: RunningServer): void {
    void server.ended.then((reason) => {
      if (this.#stopped !== null) return;
      this.#server = null;
      if (performance.now() - this.#startedAtMs > SETTLED_MS) this.#failures = 0;
      const retryInMs = this.#nextPauseMs();
      this.#onEvent({ type: 'ended', reason, retryInMs });
      this.#restartIn(retryInMs);
    });
  }

  #restartIn(pauseMs: number): void {
    this.#timer = setTimeout(() => {
      this.#starting = this.#restart();
    }, pauseMs);
  }

  async #restart(): Promise<void> {
    try {
      const server = await this.#start();
      this.#server = server;
      this.#startedAtMs = performance.now();
      this.#onEvent({ type: 'started', pid: server.pid });
      this.#watch(server);
    } catch (error) {
      if (this.#stopped !== null) return;
      const retryInMs = this.#nextPauseMs();
      this.#onEvent({ type: 'start-failed', reason: messageOf(error), retryInMs });
      this.#restartIn(retryInMs);
    }
  }

  #nextPauseMs(): number {
    this.#failures += 1;
    return this.#failures === 1 ? 0 : Math.min(RETRY_CEILING_MS, RETRY_FLOOR_MS * 2 ** (this.#failures - 2));
  }
}
