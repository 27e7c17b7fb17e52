import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { onTestFinished } from 'vitest';

/** A request as it came, and the connection to answer on. */
export interface RawRequest {
  /** `GET /path HTTP/1.1`, then header lines */
  readonly lines: readonly string[];
  readonly socket: Socket;
  /** how many connections there have been, this one included */
  readonly connection: number;
}

/** A server that says exactly what a test wants said. @returns `http://127.0.0.1:port`, or https with `tls` */
export async function startRawServer(
  answer: (request: RawRequest) => void,
  tls: TlsOptions | null = null,
): Promise<string> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const serve = (socket: Socket): void => {
    connections += 1;
    const connection = connections;
    sockets.add(socket);
    let text = '';
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const lines = text.slice(0, end).split('\r\n');
        text = text.slice(end + 4);
        answer({ lines, socket, connection });
      }
    });
  };
  const server = tls === null ? createServer(serve) : createTlsServer(tls, serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `${tls === null ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** The answer to who asks for a part of a file. */
export function partAnswer(content: Buffer, offset: number, length: number): Buffer {
  const head = [
    'HTTP/1.1 206 Partial Content',
    'ETag: "v1"',
    `Content-Range: bytes ${offset}-${offset + length - 1}/${content.length}`,
    `Content-Length: ${length}`,
  ];
  return Buffer.concat([
    Buffer.from(`${head.join('\r\n')}\r\n\r\n`),
    content.subarray(offset, offset + length),
  ]);
}
