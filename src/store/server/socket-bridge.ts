import { createServer, type Server, type Socket } from 'node:net';
import type { ServerAddress } from './running-server.ts';

/** The sandbox's event masks and first socket number, as compiled into it. */
const READABLE = 1;
const WRITABLE = 2;
const FIRST_FD = 4096;
/** Two int32: number of the socket, mask. */
const POLL_ENTRY_BYTES = 8;
const KEEP_ALIVE_MS = 30_000;

/** One end of a byte stream that the server inside reads and writes. */
interface Channel {
  readonly received: Buffer[];
  /** bytes of the first buffer that were read already */
  offset: number;
  ended: boolean;
  full: boolean;
  readonly write: (bytes: Buffer) => boolean;
  readonly destroy: () => void;
}

/** A client inside this process. It is one like all others: it needs the password, and may be killed by `CLIENT KILL`. */
interface InnerClient {
  /** sends one command and resolves with its one-line reply, without its type; an error reply rejects */
  readonly command: (...words: readonly string[]) => Promise<string>;
  readonly close: () => void;
}

/** The functions that the sandbox imports under `host`. Numbers are socket numbers, pointers and byte counts. */
interface HostFunctions {
  readonly socket: () => number;
  readonly listen: (fd: number, port: number) => number;
  readonly accept: (fd: number) => number;
  readonly read: (fd: number, pointer: number, length: number) => number;
  readonly write: (fd: number, pointer: number, length: number) => number;
  readonly close: (fd: number) => void;
  readonly poll: (interest: number, count: number, fired: number, max: number) => number;
}

/**
 * Sockets for a server in a WebAssembly sandbox, which can see none: Node's sockets behind the few functions that it
 * imports. Socket numbers are given out again (the sandbox dies when they reach its limit), oldest first.
 */
export class SocketBridge {
  readonly #channels = new Map<number, Channel>();
  readonly #freeFds: number[] = [];
  readonly #accepted: number[] = [];
  readonly #view: (pointer: number, length: number) => Buffer;
  readonly #wake: () => void;
  #nextFd = FIRST_FD;
  #listenerFd = -1;
  #server: Server | null = null;
  #firedCount = 0;

  /**
   * @param view the sandbox's memory; it may move whenever the sandbox runs
   * @param wake there is something to do for the sandbox
   */
  constructor(view: (pointer: number, length: number) => Buffer, wake: () => void) {
    this.#view = view;
    this.#wake = wake;
  }

  /** How many sockets the last pass of the sandbox found ready. */
  get firedCount(): number {
    return this.#firedCount;
  }

  /** Lets clients in. The sandbox has begun to listen before, when it booted. */
  bind(address: ServerAddress): Promise<void> {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS });
    this.#server = server;
    server.on('connection', (socket) => this.#admit(socketChannel(socket, this.#wake)));
    return new Promise((resolve, reject) => {
      server.on('error', reject); // later ones have nobody to go to: a client is not let in
      server.listen(address, resolve);
    });
  }

  /** A client that speaks to the sandbox from within this process. */
  openInner(): InnerClient {
    const waiting: ((line: string) => void)[] = [];
    let text = '';
    const channel: Channel = {
      received: [],
      offset: 0,
      ended: false,
      full: false,
      write: (bytes) => {
        text += bytes.toString('utf8');
        for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
          waiting.shift()?.(text.slice(0, end));
          text = text.slice(end + 2);
        }
        return true;
      },
      destroy: () => {
        channel.ended = true;
        for (const answer of waiting.splice(0)) answer('-connection closed');
      },
    };
    this.#admit(channel);
    return {
      command: (...words) => this.#ask(channel, waiting, words),
      close: () => {
        channel.ended = true;
        this.#wake();
      },
    };
  }

  close(): void {
    this.#server?.close();
    for (const channel of this.#channels.values()) channel.destroy();
    this.#channels.clear();
  }

  functions(): HostFunctions {
    return {
      socket: () => this.#takeFd(),
      listen: (fd) => {
        this.#listenerFd = fd;
        return 0;
      },
      accept: () => this.#accepted.shift() ?? -1,
      read: (fd, pointer, length) => this.#read(fd, pointer, length),
      write: (fd, pointer, length) => this.#write(fd, pointer, length),
      close: (fd) => this.#close(fd),
      poll: (interest, count, fired, max) => this.#poll(interest, count, fired, max),
    };
  }

  #ask(channel: Channel, waiting: ((line: string) => void)[], words: readonly string[]): Promise<string> {
    if (channel.ended) return Promise.reject(new Error(`${words[0]}: connection closed`));
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    channel.received.push(Buffer.from(`*${words.length}\r\n${parts.join('')}`));
    return new Promise((resolve, reject) => {
      waiting.push((line) => {
        if (line.startsWith('-')) reject(new Error(`${words[0]}: ${line.slice(1)}`));
        else resolve(line.slice(1));
      });
      this.#wake();
    });
  }

  #admit(channel: Channel): void {
    const fd = this.#takeFd();
    this.#channels.set(fd, channel);
    this.#accepted.push(fd);
    this.#wake();
  }

  #takeFd(): number {
    const free = this.#freeFds.shift();
    if (free !== undefined) return free;
    this.#nextFd += 1;
    return this.#nextFd - 1;
  }

  /** @returns bytes read, 0 at the end of the stream, -1 when there is nothing yet */
  #read(fd: number, pointer: number, length: number): number {
    const channel = this.#channels.get(fd);
    if (channel === undefined) return -1;
    if (channel.received.length === 0) return channel.ended ? 0 : -1;
    const target = this.#view(pointer, length);
    let copied = 0;
    for (let head = channel.received[0]; head !== undefined && copied < length; head = channel.received[0]) {
      const part = head.copy(target, copied, channel.offset);
      copied += part;
      channel.offset += part;
      if (channel.offset === head.length) {
        channel.received.shift();
        channel.offset = 0;
      }
    }
    return copied;
  }

  #write(fd: number, pointer: number, length: number): number {
    const channel = this.#channels.get(fd);
    if (channel === undefined || channel.ended) return -1;
    channel.full = !channel.write(Buffer.from(this.#view(pointer, length))); // a copy: the memory is used again at once
    return length;
  }

  #close(fd: number): void {
    const channel = this.#channels.get(fd);
    if (channel === undefined) return;
    channel.destroy();
    this.#channels.delete(fd);
    this.#freeFds.push(fd);
  }

  #poll(interest: number, count: number, fired: number, max: number): number {
    const asked = this.#view(interest, count * POLL_ENTRY_BYTES);
    const found = this.#view(fired, max * POLL_ENTRY_BYTES);
    let ready = 0;
    for (let index = 0; index < count && ready < max; index += 1) {
      const fd = asked.readInt32LE(index * POLL_ENTRY_BYTES);
      const mask = this.#readiness(fd) & asked.readInt32LE(index * POLL_ENTRY_BYTES + 4);
      if (mask === 0) continue;
      found.writeInt32LE(fd, ready * POLL_ENTRY_BYTES);
      found.writeInt32LE(mask, ready * POLL_ENTRY_BYTES + 4);
      ready += 1;
    }
    this.#firedCount = ready;
    return ready;
  }

  #readiness(fd: number): number {
    if (fd === this.#listenerFd) return this.#accepted.length > 0 ? READABLE : 0;
    const channel = this.#channels.get(fd);
    if (channel === undefined) return 0;
    const readable = channel.received.length > 0 || channel.ended;
    return (readable ? READABLE : 0) | (channel.full ? 0 : WRITABLE);
  }
}

function socketChannel(socket: Socket, wake: () => void): Channel {
  const channel: Channel = {
    received: [],
    offset: 0,
    ended: false,
    full: false,
    write: (bytes) => socket.write(bytes),
    destroy: () => socket.destroySoon(), // what was answered before still leaves
  };
  const end = (): void => {
    channel.ended = true;
    wake();
  };
  socket.on('data', (bytes: Buffer) => {
    channel.received.push(bytes);
    wake();
  });
  socket.on('drain', () => {
    channel.full = false;
    wake();
  });
  socket.on('error', end);
  socket.on('end', end);
  socket.on('close', end);
  return channel;
}
