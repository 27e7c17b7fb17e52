import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** Answers a request in place of the server. @returns false to leave it to the server */
export type Trouble = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A web server with ranges and ETags, whose answers a test can spoil one by one. */
export interface WebServer {
  readonly url: string;
  readonly files: Map<string, Buffer>;
  /** asked first, for each request */
  trouble: Trouble;
  /** `GET /path bytes=…` of each */
  readonly requests: string[];
  sentBytes: number;
  /** as the server does without trouble */
  answer(request: IncomingMessage, response: ServerResponse): void;
  /** breaks all connections, as a server that is killed */
  cut(): void;
}

export async function startWebServer(): Promise<WebServer> {
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const { range = '' } = request.headers;
    web.requests.push(`${request.url} ${range}`);
    if (!web.trouble(request, response)) answer(web, request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const web: WebServer = {
    ...{ url: `http://127.0.0.1:${port}`, files: new Map(), requests: [], sentBytes: 0 },
    trouble: () => false,
    answer: (request, response) => answer(web, request, response),
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
  };
  onTestFinished(async () => {
    web.cut();
    await new Promise((resolve) => server.close(resolve));
  });
  return web;
}

export const etagOf = (content: Buffer): string => `"${createHash('md5').update(content).digest('hex')}"`;

function answer(web: WebServer, request: IncomingMessage, response: ServerResponse): void {
  const content = web.files.get(decodeURIComponent(new URL(request.url ?? '', web.url).pathname));
  if (content === undefined) return void response.writeHead(404).end('no such file');
  const etag = etagOf(content);
  const condition = request.headers['if-match'];
  if (condition !== undefined && condition !== etag) return void response.writeHead(412).end();
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (range === null) {
    response.writeHead(200, { etag, 'content-length': content.length }).end(content);
    return;
  }
  const from = Number(range[1]);
  const to = Math.min(Number(range[2]), content.length - 1);
  const total = content.length;
  if (from >= total) return void response.writeHead(416, { 'content-range': `bytes */${total}` }).end();
  web.sentBytes += to - from + 1;
  response
    .writeHead(206, {
      etag,
      'content-range': `bytes ${from}-${to}/${total}`,
      'content-length': to - from + 1,
    })
    .end(content.subarray(from, to + 1));
}
