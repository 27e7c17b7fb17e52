import type { Socket } from 'node:net';
import type { Server } from 'node:tls';
import { HANDSHAKE_MS } from './live-tls.ts';

/** The first byte of a handshake, and of nothing that a client says in plain HTTP or RESP. */
const HANDSHAKE = 0x16;

/**
 * Looks at the first byte of each connection before the handshake begins: a client that does not speak TLS gets an answer in
 * its own words, in place of a connection that ends without one.
 * @param server that has no connections yet
 * @param answer in the protocol that such a client speaks
 */
export function answerPlainClients(server: Server, answer: string): void {
  const shakeHands = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const leave = (): void => {
      socket.destroy();
    };
    const deadline = setTimeout(leave, HANDSHAKE_MS);
    socket.on('error', leave);
    socket.once('close', () => clearTimeout(deadline));
    socket.once('end', leave);
    socket.once('data', (first: Buffer) => {
      clearTimeout(deadline);
      socket.pause();
      socket.off('end', leave);
      if (first[0] !== HANDSHAKE) {
        socket.end(answer, leave);
        return;
      }
      socket.unshift(first);
      for (const listener of shakeHands) Reflect.apply(listener, server, [socket]);
    });
  });
}
