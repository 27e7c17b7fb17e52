import { chmod, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { messageOf, ServeError } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';

/** Who knows when a file is whole: a Filler, or what asks another node. */
export interface WholeFiles {
  /** Resolves once all bytes are there; the call itself says that somebody wants the file now. @throws when it cannot be had */
  whenFile(path: string, signal: AbortSignal): Promise<void>;
  /**
   * Somebody reads files from now on who cannot be made to wait: what is whole stays so, and comes again where
   * it was given back. @throws when it cannot be had
   */
  keep?(signal: AbortSignal): Promise<void>;
}

/** Who is told of files that are not whole, before and after. */
export interface Placeholders {
  /** call it when the file is there, and before anybody else can see it */
  /** @param name what the file is called from then on, where that is another path */
  protect(path: string, name?: string): Promise<void>;
  forget(name: string): void;
}

export interface BarrierServerOptions {
  /** absolute; Unix sockets allow 107 bytes */
  readonly socketPath: string;
  readonly log: Log;
  /** a process has begun that has the library loaded */
  readonly onHello?: (pid: number) => void;
  /** a program that was started for the same model wants to be served as the first one is */
  readonly onJoin?: (pid: number) => void;
}

const MAX_SOCKET_PATH_BYTES = 107;
const MAX_QUESTION_BYTES = 128;

/**
 * Answers the preload library (native/preload.h says what it asks) on a Unix socket: whoever opens a placeholder waits until
 * it is whole. A file is known by device and inode, so links, other names and bind mounts of it are the same file.
 */
export class BarrierServer implements Placeholders {
  readonly #options: BarrierServerOptions;
  readonly #files: WholeFiles;
  /** names of files that are not whole yet, by device and inode, and the other way round */
  readonly #names = new Map<string, string>();
  readonly #numbers = new Map<string, string>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(options: BarrierServerOptions, files: WholeFiles) {
    this.#options = options;
    this.#files = files;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** @throws ServeError SOCKET_PATH_TOO_LONG; Node's error when it cannot listen */
  async start(): Promise<void> {
    const { socketPath } = this.#options;
    if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) {
      throw new ServeError(
        `${socketPath}: a Unix socket's path has at most ${MAX_SOCKET_PATH_BYTES} bytes; use a shorter folder`,
        { code: 'SOCKET_PATH_TOO_LONG' },
      );
    }
    await rm(socketPath, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(socketPath, resolve);
    });
    await chmod(socketPath, 0o600);
  }

  /**
   * From now on who opens this placeholder is answered when it is whole. Call it when the file is there.
   * @param name what the file is called in `whenFile`, where that is another path; one that had it before is forgotten
   */
  async protect(path: string, name: string = path): Promise<void> {
    const numbers = await numbersOf(path);
    this.forget(name);
    this.#names.set(numbers, name);
    this.#numbers.set(name, numbers);
  }

  /** Nobody has to wait for this file any more. Nothing for one that is not known. */
  forget(name: string): void {
    const numbers = this.#numbers.get(name);
    if (numbers === undefined) return;
    this.#numbers.delete(name);
    if (this.#names.get(numbers) === name) this.#names.delete(numbers);
  }

  /** Whoever waits fails from now on, and so does who comes later. Idempotent. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    const gone = new AbortController();
    let question = '';
    this.#sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => undefined); // its close follows
    socket.on('close', () => {
      this.#sockets.delete(socket);
      gone.abort();
    });
    socket.on('data', (text: string) => {
      question += text;
      if (question.length > MAX_QUESTION_BYTES) socket.destroy();
      else if (question.endsWith('\n')) void this.#answer(socket, question.trimEnd().split(' '), gone.signal);
    });
  }

  /** Never rejects. */
  async #answer(
    socket: Socket,
    [what, first, second]: readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    if (what === 'H') {
      this.#options.onHello?.(Number(first));
      socket.end();
    } else if (what === 'M') {
      this.#options.onJoin?.(Number(first));
      socket.end('OK\n');
    } else if (what === 'O') {
      const name = this.#names.get(`${first}:${second}`);
      socket.end(`${name === undefined ? 'NO' : await this.#whenWhole(name, signal)}\n`);
    } else if (what === 'W') {
      socket.end(`${await this.#whenAllWhole(signal)}\n`);
    } else if (what === 'P') {
      socket.end(this.#numbers.size === 0 ? 'OK\n' : 'NO\n');
    } else {
      socket.destroy();
    }
  }

  /** @returns the answer for one file */
  async #whenWhole(name: string, signal: AbortSignal): Promise<string> {
    try {
      await this.#files.whenFile(name, signal);
      return 'OK';
    } catch (error) {
      if (!signal.aborted) this.#options.log.warn({ path: name, error: messageOf(error) }, 'an open fails');
      return `E ${messageOf(error).replace(/\s+/g, ' ').slice(0, 900)}`;
    }
  }

  async #whenAllWhole(signal: AbortSignal): Promise<string> {
    const keeping = this.#files.keep?.(signal).catch(() => undefined); // the answer for its file says why
    const answers = await Promise.all([...this.#numbers.keys()].map((name) => this.#whenWhole(name, signal)));
    await keeping;
    return answers.find((answer) => answer !== 'OK') ?? 'OK';
  }
}

async function numbersOf(path: string): Promise<string> {
  const { dev, ino } = await stat(path, { bigint: true });
  return `${dev}:${ino}`;
}
