import { createServer, type Server, type Socket } from 'node:net';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { listenForHttp } from './listening.ts';

export interface HttpListenerOptions {
  readonly host: string;
  readonly clusterId: string;
  readonly log: Log;
}

export interface HttpListenerEvents {
  /** accepted, and not read from yet */
  readonly onConnection: (socket: Socket) => void;
  /** it listens on another port than before, and on that one no more */
  readonly onMoved: () => void;
}

const RETRY_MS = 2_000;

/** Accepts on the HTTP port of the ingress. A change of port opens the new one first. Accepted connections are others'. */
export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #events: HttpListenerEvents;
  #server: Server | null = null;
  #wantedPort: number | null = null;
  #port: number | null = null;
  #problem: string | null = null;
  #last: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;

  constructor(options: HttpListenerOptions, events: HttpListenerEvents) {
    this.#options = options;
    this.#events = events;
  }

  /** null until it listens. */
  get port(): number | null {
    return this.#port;
  }

  /** Why it does not listen on the port that is wanted; null where it does. */
  get problem(): string | null {
    return this.#problem;
  }

  /**
   * Listens on this port from now on; nothing happens where it does already.
   * @throws ListenError; what was listened on before goes on
   */
  use(port: number): Promise<void> {
    const step = this.#last.then(() => this.#switchTo(port));
    this.#last = step.catch(() => {});
    return step;
  }

  /** As `use`, but goes on trying while the port cannot be had; `problem` says why. */
  follow(port: number): void {
    this.#cancelRetry();
    this.use(port).catch(() => {
      this.#retry = setTimeout(() => this.follow(port), RETRY_MS);
    });
  }

  /** Accepts nothing more. Idempotent. */
  async close(): Promise<void> {
    this.#cancelRetry();
    await this.#last;
    this.#cancelRetry();
    this.#server?.close();
    this.#server = null;
    this.#port = null;
  }

  async #switchTo(port: number): Promise<void> {
    if (port === this.#wantedPort && this.#server !== null) return;
    const { host, clusterId, log } = this.#options;
    // Paused: whoever serves it, this process or another, reads its first byte.
    const server = createServer(
      { pauseOnConnect: true, allowHalfOpen: true, noDelay: true },
      this.#events.onConnection,
    );
    let bound: number;
    try {
      bound = await listenForHttp(server, { host, port }, clusterId);
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== this.#problem) log.error({ host, port, problem }, 'cannot listen');
      this.#problem = problem;
      throw error;
    }
    const old = this.#server;
    this.#server = server;
    this.#wantedPort = port;
    this.#port = bound;
    this.#problem = null;
    log.info({ host, port: bound, wanted: port }, 'listening');
    if (old === null) return;
    old.close();
    this.#events.onMoved();
  }

  #cancelRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }
}
