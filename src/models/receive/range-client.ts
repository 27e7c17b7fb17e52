import { Connection, type TlsSettings } from './connection.ts';
import type { Received, ReceiveOptions, Receiver, ReceiveTask } from './types.ts';

/** Receives parts on this thread, each on a connection of its own; connections are used again. */
export class RangeClient implements Receiver {
  readonly #tls: TlsSettings;
  readonly #resting = new Map<string, Connection[]>();
  readonly #open = new Set<Connection>();

  constructor(tls: TlsSettings) {
    this.#tls = tls;
  }

  async receive(task: ReceiveTask, options: ReceiveOptions): Promise<Received> {
    for (;;) {
      options.signal.throwIfAborted();
      const connection = this.#rested(task.origin) ?? this.#connect(task.origin);
      const wasUsed = connection.isUsed;
      const received = await this.#on(connection, task, options);
      // A connection that had rested and was closed just then: no try of the server's.
      const isStale = wasUsed && received.kind === 'broken' && !received.hasAnswered;
      if (!isStale || received.code === 'ETIMEDOUT') return received;
    }
  }

  async close(): Promise<void> {
    for (const connection of this.#open) connection.close();
  }

  async #on(
    connection: Connection,
    task: ReceiveTask,
    { signal, onBytes }: ReceiveOptions,
  ): Promise<Received> {
    const abort = (): void => connection.close();
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await connection.receive(task, onBytes);
    } finally {
      signal.removeEventListener('abort', abort);
      signal.throwIfAborted();
    }
  }

  #rested(origin: string): Connection | null {
    const resting = this.#resting.get(origin) ?? [];
    for (;;) {
      const connection = resting.pop();
      if (connection === undefined) return null;
      if (!connection.isClosed) return connection;
    }
  }

  #connect(origin: string): Connection {
    const resting = this.#resting.get(origin) ?? [];
    this.#resting.set(origin, resting);
    const connection = new Connection(new URL(origin), this.#tls, {
      onRest: () => resting.push(connection),
      onClose: () => this.#open.delete(connection),
    });
    this.#open.add(connection);
    return connection;
  }
}
