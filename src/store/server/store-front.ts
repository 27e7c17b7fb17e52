import { connect, type Socket } from 'node:net';
import type { Server } from 'node:tls';
import type { LiveTls } from '../../lib/tls/live-tls.ts';
import { answerPlainClients } from '../../lib/tls/plain-client.ts';
import { createTlsServer, Strangers } from '../../lib/tls/tls-server.ts';
import { TLS_REPLY } from '../errors.ts';
import { listenOn, type TcpAddress } from './running-server.ts';

const KEEP_ALIVE_MS = 30_000;
/** Connections that have not shown a certificate yet: of more the oldest is cut. */
const MAX_STRANGERS = 256;

/**
 * Lets in, by TLS, who shows a certificate of the cluster, to a store that itself listens on a Unix socket only. It is a part of
 * the head's process, so it does not matter whether the store's program can speak TLS, and a new certificate is in force at
 * once. While the head is away, nobody leads, and the store would not be written.
 */
export class StoreFront {
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  /** @param path of the store's socket */
  constructor(tls: LiveTls, path: string) {
    this.#path = path;
    this.#server = createTlsServer(tls, (client) => this.#join(client), { noDelay: true });
    answerPlainClients(this.#server, `-${TLS_REPLY} this store speaks TLS\r\n`);
    this.#server.on('connection', (socket: Socket) => this.#hold(socket));
    new Strangers(this.#server, MAX_STRANGERS);
  }

  /** @throws StoreError STORE_PORT_TAKEN, STORE_START */
  async listen(address: TcpAddress): Promise<void> {
    await listenOn(this.#server, address);
  }

  /** Cuts every connection. Idempotent. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const inner = connect(this.#path);
    this.#hold(inner);
    client.setKeepAlive(true, KEEP_ALIVE_MS);
    for (const [from, to] of [
      [client, inner],
      [inner, client],
    ] as const) {
      from.on('error', () => {}); // what follows is its close
      from.once('close', () => to.destroy());
      from.pipe(to);
    }
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
