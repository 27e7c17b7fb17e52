import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** Answers a request in place of the server behind. @returns false to leave it to that */
export type Trouble = (request: IncomingMessage, response: ServerResponse) => boolean;

interface Cut {
  /** bytes; of a slow body those at a time */
  readonly after: number;
  readonly how: 'end' | 'stall' | 'trickle';
}

/** What a front answers for https with, in PEM. */
export interface FrontIdentity {
  readonly key: string;
  readonly cert: string;
}

/** Stands in front of a server, hands on what comes as it is (signatures hold), and fails where a test wants it. */
export class FaultFront {
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #scheme: string;
  #port = 0;
  /** asked first, for each request */
  trouble: Trouble = () => false;
  /** `/path?query bytes=…` of each request */
  readonly requests: string[] = [];

  private constructor(target: string, identity: FrontIdentity | null) {
    this.#target = target;
    this.#scheme = identity === null ? 'http' : 'https';
    const listen = (incoming: IncomingMessage, response: ServerResponse): void => {
      this.requests.push(`${incoming.url} ${incoming.headers.range ?? ''}`);
      if (!this.trouble(incoming, response)) this.pass(incoming, response);
    };
    this.#server = identity === null ? createServer(listen) : createSecureServer(identity, listen);
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** @param identity for https; null: http */
  static async start(target: string, identity: FrontIdentity | null = null): Promise<FaultFront> {
    const front = new FaultFront(target, identity);
    await front.open();
    return front;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** What the server behind answers, or its first bytes, and then an end, or nothing more; or all of it, slowly. */
  pass(incoming: IncomingMessage, response: ServerResponse, cut?: Cut): void {
    const { method, headers, url = '/' } = incoming;
    const onward = request(`${this.#target}${url}`, { method, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.on('close', () => answer.destroy());
      answer.on('error', () => response.destroy());
      if (cut === undefined) answer.pipe(response);
      else void spoil(answer, response, cut).catch(() => response.destroy());
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  }

  /** Listens, at the port it had before. */
  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Breaks all connections and listens no more, as a server that is killed. Idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

async function spoil(answer: IncomingMessage, response: ServerResponse, { after, how }: Cut): Promise<void> {
  if (how === 'trickle') {
    for await (const bytes of answer) {
      for (let at = 0; at < bytes.length; at += after) {
        response.write(bytes.subarray(at, at + after));
        await delay(1);
      }
    }
    response.end();
    return;
  }
  let leftBytes = after;
  for await (const bytes of answer) {
    if (leftBytes > 0) response.write(bytes.subarray(0, leftBytes));
    leftBytes -= bytes.length;
    if (leftBytes <= 0 && how === 'end') response.destroy();
  }
}
