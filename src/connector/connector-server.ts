import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { ClientSocket } from './client-socket.ts';
import { CONNECTOR_PROTOCOL, type Request } from './messages.ts';
import { type Hello, Session } from './session.ts';

export interface ConnectorServerOptions {
  /** absolute, at most 107 bytes */
  readonly socketPath: string;
  /** the last client has gone, or none has come in time */
  readonly onIdle: () => void;
  /** how long a first client is waited for: whoever started this server may have died */
  readonly firstClientMs: number;
}

/**
 * Connectors for other processes of the same user, over a Unix socket: they say what they open and what they wait for, and read the bytes from
 * memory themselves. What a client has opened is closed when it and all that it has forked have gone.
 */
export class ConnectorServer {
  readonly #options: ConnectorServerOptions;
  readonly #server: Server;
  readonly #sessions = new Map<string, Session>();
  readonly #use = { usedBytes: 0 };
  readonly #clients = new Set<ClientSocket>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ConnectorServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @throws Node's error when it cannot listen */
  async start(): Promise<void> {
    const { socketPath, firstClientMs, onIdle } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(socketPath, resolve);
    });
    await chmod(socketPath, 0o600);
    this.#timer = setTimeout(() => {
      if (this.#clients.size === 0) onIdle();
    }, firstClientMs);
  }

  /** Ends all sessions; the socket goes with it. Idempotent. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const client of this.#clients) client.destroy();
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    await Promise.all(sessions.map(async (session) => await session.close()));
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const client = new ClientSocket(socket);
    this.#clients.add(client);
    let session: Session | null = null;
    let name = '';
    client.listen(
      (request) => {
        if (session === null) {
          session = this.#welcome(request, client);
          if (session === null) return;
          name = (request as Hello).session;
        }
        void session.serve(request, client);
      },
      () => {
        this.#clients.delete(client);
        void this.#leave(client, session, name);
      },
    );
  }

  /** @returns null where the client was told why not */
  #welcome(request: Request, client: ClientSocket): Session | null {
    try {
      if (request.op !== 'hello' || request.protocol !== CONNECTOR_PROTOCOL) throw otherVersion(request);
      const session = this.#sessions.get(request.session) ?? new Session(request, this.#use);
      this.#sessions.set(request.session, session);
      session.join(client);
      return session;
    } catch (error) {
      const failure = { code: codeOf(error) ?? 'CONNECTOR_FAILED', message: messageOf(error) };
      void client.send({ id: request.id, error: failure });
      return null;
    }
  }

  async #leave(client: ClientSocket, session: Session | null, name: string): Promise<void> {
    if (session?.leave(client) === 0) {
      this.#sessions.delete(name);
      await session.close();
    }
    if (this.#clients.size === 0 && this.#sessions.size === 0) this.#options.onIdle();
  }
}

function otherVersion(request: Request): ServeError {
  const found = request.op === 'hello' ? `version ${request.protocol}` : request.op;
  return new ServeError(
    `the client speaks ${found}, this server version ${CONNECTOR_PROTOCOL}; install the ossmodelconnector that came with this modelserve`,
    { code: 'CONNECTOR_PROTOCOL' },
  );
}
