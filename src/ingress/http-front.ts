import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { codeOf } from '../lib/errors.ts';
import type { RequestHandler } from './request-handler.ts';

export interface FrontOptions {
  /** for the request line and headers together; a body has the request's own deadline */
  readonly headersTimeoutMs: number;
  /** of request line and headers together */
  readonly maxHeaderBytes: number;
}

/** Load balancers keep connections for 60 s: closing later than they do avoids requests that cross a close. */
const KEEP_ALIVE_MS = 65_000;

/**
 * An HTTP server, for connections that are given to it. What is for deployments goes straight to the handler: fastify's parsing, validation and
 * serialisation have nothing to do there, and GET has a body like any other method. What is under `/-/` is fastify's.
 */
export function createFront(
  options: FrontOptions,
  dependencies: { readonly handler: RequestHandler; readonly admin: FastifyInstance },
): Server {
  const { handler, admin } = dependencies;
  const server = createServer(
    {
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: options.maxHeaderBytes,
      connectionsCheckingInterval: Math.min(1_000, options.headersTimeoutMs),
      noDelay: true,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      if (isAdminPath(request.url ?? '')) admin.routing(request, response);
      else handler.handle(request, response);
    },
  );
  server.on('clientError', (error, socket) => answerMalformed(error, socket as Socket, handler.newId()));
  return server;
}

function isAdminPath(url: string): boolean {
  return url.startsWith('/-/') || url === '/-';
}

const MALFORMED: Readonly<Record<string, readonly [string, string, string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'REQUEST_TIMEOUT', 'the headers did not arrive in time'],
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'HEADERS_TOO_LARGE',
    'the request line and headers are too large',
  ],
};

/** What is no HTTP gets one answer where that is possible, and its connection is closed. */
function answerMalformed(error: Error, socket: Socket, requestId: string): void {
  if (codeOf(error) === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy(); // the client has left, or an answer may be under way on this connection
    return;
  }
  const [status, code, info] = MALFORMED[codeOf(error) ?? ''] ?? [
    '400 Bad Request',
    'BAD_REQUEST',
    `this is not HTTP/1.1: ${error.message}`,
  ];
  const body = JSON.stringify({ status: 0, code, info, request_id: requestId });
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
