import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { type AskServer, Connections } from '../../../../src/models/sources/connections.ts';

/** A question as a server of tokens or keys has it. */
export interface Asked {
  readonly method: string;
  /** without the query */
  readonly path: string;
  readonly query: URLSearchParams;
  /** what a form holds */
  readonly form: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A text or an object is an answer of 200, a number one without words. */
export type TokenAnswer =
  | string
  | number
  | Readonly<Record<string, unknown>>
  | readonly [number, object | string];

export interface TokenServer {
  readonly host: string;
  readonly url: string;
  readonly asked: Asked[];
  /** `GET /path` of each question */
  readonly lines: readonly string[];
}

/** A server of tokens or keys, until the test ends. @param answer null: it breaks the connection */
export async function startTokenServer(answer: (asked: Asked) => TokenAnswer | null): Promise<TokenServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '', 'http://x');
    const form = new URLSearchParams(await text(request));
    const question: Asked = { method: request.method ?? '', path, query, form, headers: request.headers };
    asked.push(question);
    const told = answer(question);
    if (told === null) return void request.socket.destroy();
    const [status, body] = Array.isArray(told) ? told : typeof told === 'number' ? [told, ''] : [200, told];
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ host, url: `http://${host}`, asked },
    get lines() {
      return asked.map(({ method, path }) => `${method} ${path}`);
    },
  };
}

/** What asks for tokens, as an exchange does, until the test ends. */
export function asking(variables: Readonly<Record<string, string>> = {}): AskServer {
  const connections = new Connections(variables, 5_000);
  onTestFinished(async () => await connections.close());
  return connections.ask;
}

/** ISO 8601 of a moment so many seconds from now. */
export const inSeconds = (seconds: number): string => new Date(Date.now() + 1_000 * seconds).toISOString();
