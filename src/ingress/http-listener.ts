import type { Server } from 'node:http';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { listenForHttp } from './listening.ts';

export interface HttpListenerOptions {
  readonly host: string;
  readonly clusterId: string;
  readonly log: Log;
}

/** Shorter than what an agent waits for the process to end. */
const CLOSE_MS = 2_000;
/** What is still open on a port of before after this time is cut. */
const LONGEST_RETIREMENT_MS = 600_000;
const RETRY_MS = 2_000;

/** The HTTP port of the ingress. A change of port opens the new one first; then the old one finishes what it has. */
export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #create: () => Server;
  /** servers of ports that are not wanted any more, with what finishes on them */
  readonly #retired = new Map<Server, Promise<void>>();
  #server: Server | null = null;
  #wantedPort: number | null = null;
  #port: number | null = null;
  #problem: string | null = null;
  #last: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;

  /** @param create makes a server that does not listen yet */
  constructor(options: HttpListenerOptions, create: () => Server) {
    this.#options = options;
    this.#create = create;
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

  /** Finishes requests that are under way, cuts what is left after some seconds. Idempotent. */
  async close(): Promise<void> {
    this.#cancelRetry();
    await this.#last;
    this.#cancelRetry();
    if (this.#server !== null) this.#retire(this.#server);
    this.#server = null;
    this.#port = null;
    const deadline = setTimeout(() => this.#cutRetired(), CLOSE_MS);
    await Promise.all(this.#retired.values());
    clearTimeout(deadline);
  }

  async #switchTo(port: number): Promise<void> {
    if (port === this.#wantedPort && this.#server !== null) return;
    const { host, clusterId, log } = this.#options;
    const server = this.#create();
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
    if (old !== null) this.#retire(old);
  }

  #cancelRetry(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
  }

  /** Takes no new connection there; those that have a request under way get its answer, and are closed with it. */
  #retire(server: Server): void {
    server.prependListener('request', (_request, response) => {
      response.shouldKeepAlive = false;
    });
    const closed = new Promise<void>((resolve) => {
      const deadline = setTimeout(() => server.closeAllConnections(), LONGEST_RETIREMENT_MS);
      server.close(() => {
        clearTimeout(deadline);
        this.#retired.delete(server);
        resolve();
      });
    });
    this.#retired.set(server, closed);
  }

  #cutRetired(): void {
    for (const server of this.#retired.keys()) server.closeAllConnections();
  }
}
