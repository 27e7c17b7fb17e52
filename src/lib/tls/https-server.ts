import type { RequestListener, Server } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import { lastAnswer } from '../last-answer.ts';
import type { LiveTls } from './live-tls.ts';
import { answerPlainClients } from './plain-client.ts';

/** An upload may take as long as it takes; connections last as long as those of fastify's own servers. */
const SETTINGS: ServerOptions = { requestTimeout: 0, keepAliveTimeout: 72_000 };

export interface HttpsOptions {
  readonly settings?: ServerOptions;
  /** `name: value`, of the answer to clients that speak plain HTTP */
  readonly plainHeaders?: readonly string[];
}

/** An HTTPS server that shows each new certificate until it is closed, and tells plain clients what it is. */
export function createHttpsServer(tls: LiveTls, serve: RequestListener, options: HttpsOptions = {}): Server {
  const server = createServer({ ...SETTINGS, ...tls.serverOptions, ...options.settings }, serve);
  answerPlainClients(
    server,
    lastAnswer({
      ...{ status: '400 Bad Request', code: 'TLS_REQUIRED', headers: options.plainHeaders ?? [] },
      info: 'this port speaks TLS: ask by https://',
    }),
  );
  // Who has not shaken hands is told nothing by HTTP: the words would wait for the handshake, and keep the connection.
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.once('close', tls.attach(server));
  return server;
}

/** The options by which a fastify server speaks TLS; none where it is plain. */
export function overTls(tls: LiveTls | null): {
  readonly serverFactory?: (serve: RequestListener) => Server;
} {
  return tls === null ? {} : { serverFactory: (serve) => createHttpsServer(tls, serve) };
}
