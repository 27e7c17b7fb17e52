export interface ReconnectOptions {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  /** uniform in [0, 1) */
  readonly random: () => number;
}

/** What a connection tells its owner: that the handshake is done, and (once) that it ended. */
export interface ConnectionFate {
  readonly opened: () => void;
  readonly closed: () => void;
}

/**
 * Keeps one connection open until stopped: a new one follows each that ended, after a delay that doubles with each
 * failure in a row, has jitter of half of it, and starts over once a connection was opened.
 */
export class Reconnector<Connection extends { close(): void }> {
  readonly #options: ReconnectOptions;
  readonly #open: (fate: ConnectionFate) => Connection;
  #current: Connection | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failures = 0;
  #isStopped = false;

  constructor(options: ReconnectOptions, open: (fate: ConnectionFate) => Connection) {
    this.#options = options;
    this.#open = open;
    this.#connect();
  }

  /** null while it waits for its next try. */
  get current(): Connection | null {
    return this.#current;
  }

  /** Tries now instead of waiting: there is a reason to think that it works. */
  hurry(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /**
   * Opens another connection beside the present one, which it follows as soon as it is open; where it cannot be opened
   * the present one stays. Resolves when that is decided; at once where there is none: the next one is new anyway.
   * @param retire what becomes of the one before
   */
  renew(retire: (before: Connection) => void): Promise<void> {
    const before = this.#current;
    if (before === null || this.#isStopped) return Promise.resolve();
    return new Promise((resolve) => {
      const next: Connection = this.#open({
        opened: () => {
          if (this.#isStopped) next.close();
          else if (this.#current !== next) this.#follow(next, retire);
          resolve();
        },
        closed: () => {
          if (this.#current === next) this.#wait();
          resolve();
        },
      });
    });
  }

  /** Closes the connection and opens no other. Idempotent. */
  stop(): void {
    this.#isStopped = true;
    this.#clearTimer();
    this.#current?.close();
  }

  #follow(next: Connection, retire: (before: Connection) => void): void {
    const before = this.#current;
    this.#clearTimer();
    this.#failures = 0;
    this.#current = next;
    if (before !== null) retire(before);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #connect(): void {
    this.#timer = null;
    let connection: Connection | null = null;
    connection = this.#open({
      opened: () => {
        this.#failures = 0;
      },
      closed: () => {
        if (this.#current === connection) this.#wait();
      },
    });
    this.#current = connection;
  }

  #wait(): void {
    this.#current = null;
    if (this.#isStopped) return;
    const { minDelayMs, maxDelayMs, random } = this.#options;
    const delayMs = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(this.#failures, 16));
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), delayMs * (0.5 + random() / 2));
  }
}
