import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { codeOf } from '../lib/errors.ts';
import { lastAnswer } from '../lib/last-answer.ts';
import { createHttpsServer } from '../lib/tls/https-server.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { CLUSTER_HEADER } from './admin-routes.ts';
import type { RequestHandler } from './request-handler.ts';
import type { RequestJournal } from './request-journal.ts';

export interface FrontOptions {
  /** for the request line and headers together; a body has the request's own deadline */
  readonly headersTimeoutMs: number;
  /** of request line and headers together */
  readonly maxHeaderBytes: number;
}

export interface FrontDependencies {
  readonly handler: RequestHandler;
  readonly journal: Pick<RequestJournal, 'malformed'>;
  readonly admin: FastifyInstance;
  /** null: plain HTTP */
  readonly tls: LiveTls | null;
  readonly clusterId: string;
}

/** Load balancers keep connections for 60 s: closing later than they do avoids requests that cross a close. */
const KEEP_ALIVE_MS = 65_000;

/**
 * An HTTP server, for connections that are given to it; with TLS each shakes hands in the process that serves it. What is for deployments goes straight to the handler: fastify's parsing, validation and
 * serialisation have nothing to do there, and GET has a body like any other method. What is under `/-/` is fastify's.
 */
export function createFront(options: FrontOptions, dependencies: FrontDependencies): Server {
  const { handler, journal, admin, tls, clusterId } = dependencies;
  const settings = {
    headersTimeout: options.headersTimeoutMs,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    maxHeaderSize: options.maxHeaderBytes,
    connectionsCheckingInterval: Math.min(1_000, options.headersTimeoutMs),
    noDelay: true,
  };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    if (isAdminPath(request.url ?? '')) admin.routing(request, response);
    else handler.handle(request, response);
  };
  const server =
    tls === null
      ? createServer(settings, serve)
      : createHttpsServer(tls, serve, { settings, plainHeaders: [`${CLUSTER_HEADER}: ${clusterId}`] });
  server.on('clientError', (error, socket) => {
    answerMalformed(error, socket as Socket, { requestId: handler.newId(), journal });
  });
  return server;
}

function isAdminPath(url: string): boolean {
  return url.startsWith('/-/') || url === '/-';
}

interface Refusal {
  readonly status: number;
  readonly reason: string;
  readonly code: string;
  readonly info: string;
}

const MALFORMED: Readonly<Record<string, Refusal>> = {
  ERR_HTTP_REQUEST_TIMEOUT: {
    ...{ status: 408, reason: 'Request Timeout', code: 'REQUEST_TIMEOUT' },
    info: 'the headers did not arrive in time',
  },
  HPE_HEADER_OVERFLOW: {
    ...{ status: 431, reason: 'Request Header Fields Too Large', code: 'HEADERS_TOO_LARGE' },
    info: 'the request line and headers are too large',
  },
};

/** What is no HTTP gets one answer where that is possible, and its connection is closed. */
function answerMalformed(
  error: Error,
  socket: Socket,
  { requestId, journal }: { readonly requestId: string } & Pick<FrontDependencies, 'journal'>,
): void {
  if (codeOf(error) === 'ECONNRESET' || socket.writableEnded) {
    socket.destroy(); // the client has left, or goes on sending after its answer
    return;
  }
  const { status, reason, code, info } = MALFORMED[codeOf(error) ?? ''] ?? {
    ...{ status: 400, reason: 'Bad Request', code: 'BAD_REQUEST' },
    info: `this is not HTTP/1.1: ${error.message}`,
  };
  journal.malformed({ requestId, client: socket.remoteAddress ?? '', status, code });
  if (!socket.writable || socket.bytesWritten > 0) {
    socket.destroy(); // an answer may be under way on this connection
    return;
  }
  const answer = lastAnswer({ status: `${status} ${reason}`, code, info, requestId });
  socket.end(answer, () => socket.destroy());
}
