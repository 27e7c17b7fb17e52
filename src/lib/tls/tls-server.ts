import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { LiveTls } from './live-tls.ts';

/**
 * A server of TLS connections that shows each new certificate until it is closed. Who does not shake hands in time, or in vain, is
 * cut: node:tls tells of such, but leaves them open.
 */
export function createTlsServer(
  tls: LiveTls,
  accept: (socket: TLSSocket) => void,
  settings: TlsOptions = {},
): Server {
  const server = createServer({ ...tls.serverOptions, ...settings }, accept);
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.once('close', tls.attach(server));
  return server;
}

/**
 * Connections of a TLS server that have not shaken hands yet. Where there are too many the oldest is cut: it had the most
 * time, so that those who say nothing keep nobody out who does.
 */
export class Strangers {
  /** what lies below each, by the peer's address */
  readonly #sockets = new Map<string, Socket>();
  readonly #most: number;

  /** @param server whose listeners of `connection` are complete */
  constructor(server: Server, most: number) {
    this.#most = most;
    server.on('connection', (socket: Socket) => this.#add(socket));
    server.on('secureConnection', (socket) => this.#sockets.delete(peerOf(socket)));
  }

  /** Cuts all of them. */
  cut(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }

  #add(socket: Socket): void {
    const [oldest] = this.#sockets;
    if (this.#sockets.size >= this.#most && oldest !== undefined) {
      const [peer, its] = oldest;
      this.#sockets.delete(peer);
      its.destroy();
    }
    const peer = peerOf(socket);
    this.#sockets.set(peer, socket);
    socket.once('close', () => {
      if (this.#sockets.get(peer) === socket) this.#sockets.delete(peer);
    });
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
