import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Shorter than what an agent waits for the process to end. */
const CLOSE_MS = 2_000;
/** What is still open so long after it was to go is cut. */
const LONGEST_RETIREMENT_MS = 600_000;

/** An HTTP server that does not listen, with the connections that were given to it. */
interface Generation {
  readonly server: Server;
  readonly sockets: Set<Socket>;
  deadline: NodeJS.Timeout | null;
}

/**
 * The HTTP connections of this process, whoever accepted them. They are asked to leave generation by generation: a
 * connection of an old one is closed with its next answer, never while a request may be on its way, so its client loses
 * nothing.
 */
export class Connections {
  readonly #create: () => Server;
  readonly #most: number;
  readonly #retired = new Set<Generation>();
  #current: Generation;
  #isClosed = false;
  #onGone: (() => void)[] = [];

  /**
   * @param create makes a server; it is never told to listen
   * @param most connections at once: of more each new one is closed
   */
  constructor(create: () => Server, most: number) {
    this.#create = create;
    this.#most = most;
    this.#current = this.#begin();
  }

  get count(): number {
    return [this.#current, ...this.#retired].reduce((sum, { sockets }) => sum + sockets.size, 0);
  }

  /** Serves a connection that was accepted and has not been read from. */
  take(socket: Socket): void {
    if (this.#isClosed || this.count >= this.#most) {
      socket.destroy();
      return;
    }
    const generation = this.#current;
    generation.sockets.add(socket);
    socket.once('close', () => {
      generation.sockets.delete(socket);
      this.#settle(generation);
    });
    socket.allowHalfOpen = true; // as an HTTP server's own connections
    generation.server.emit('connection', socket);
    socket.resume();
  }

  /** Lets every present connection go after its next answer; clients connect again. */
  renew(): void {
    if (this.#current.sockets.size === 0) return;
    this.#retire(this.#current);
    this.#current = this.#begin();
  }

  /** Resolves when no connection is left. */
  async untilGone(): Promise<void> {
    if (this.count === 0) return;
    await new Promise<void>((resolve) => this.#onGone.push(resolve));
  }

  /** Closes what is idle, and the rest when its answer is out, at the latest after 2 s. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.untilGone();
    this.#isClosed = true;
    this.#retire(this.#current);
    const deadline = setTimeout(() => {
      for (const generation of this.#retired) cut(generation);
    }, CLOSE_MS);
    for (const { server } of this.#retired) server.close();
    await this.untilGone();
    clearTimeout(deadline);
  }

  #begin(): Generation {
    const server = this.#create();
    // Limits on slow headers are watched from the moment a server listens: this one only hears that it does.
    server.emit('listening');
    return { server, sockets: new Set(), deadline: null };
  }

  #retire(generation: Generation): void {
    const { server } = generation;
    this.#retired.add(generation);
    server.prependListener('request', (_request, response) => {
      response.shouldKeepAlive = false;
    });
    generation.deadline = setTimeout(() => cut(generation), LONGEST_RETIREMENT_MS);
    this.#settle(generation);
  }

  #settle(generation: Generation): void {
    if (generation.sockets.size === 0 && this.#retired.delete(generation)) {
      if (generation.deadline !== null) clearTimeout(generation.deadline);
      generation.server.close();
    }
    if (this.count > 0) return;
    const waiting = this.#onGone;
    this.#onGone = [];
    for (const resolve of waiting) resolve();
  }
}

/** The server knows those that speak HTTP; others may still be shaking hands. */
function cut({ server, sockets }: Generation): void {
  server.closeAllConnections();
  for (const socket of sockets) socket.destroy();
}
