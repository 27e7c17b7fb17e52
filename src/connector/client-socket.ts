import type { Socket } from 'node:net';
import { type Answer, type Request, readRequest } from './messages.ts';

/** No request is longer: paths and names are. */
const MAX_LINE = 1024 ** 2;

/** A connection of a client: requests in, answers out. */
export class ClientSocket {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
  }

  /** @param onRequest what it throws ends the connection */
  listen(onRequest: (request: Request) => void, onClose: () => void): void {
    let text = '';
    this.#socket.on('data', (part: string) => {
      const lines = (text + part).split('\n');
      text = lines.pop() ?? '';
      try {
        for (const line of lines) onRequest(readRequest(line));
      } catch {
        this.#socket.destroy();
      }
      if (text.length > MAX_LINE) this.#socket.destroy();
    });
    this.#socket.on('error', () => undefined); // its close follows
    this.#socket.once('close', onClose);
  }

  /** Waits where the client does not keep up. What is sent to one that has gone is lost. */
  async send(answer: Answer): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(`${JSON.stringify(answer)}\n`)) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        this.#socket.off('drain', go).off('close', go);
        resolve();
      };
      this.#socket.once('drain', go).once('close', go);
    });
  }

  /** Ends the connection. */
  destroy(): void {
    this.#socket.destroy();
  }
}
