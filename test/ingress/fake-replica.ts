import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { FrameConnection } from '../../src/channel/connection.ts';
import { FrameType, PROTOCOL_VERSION } from '../../src/channel/frames.ts';
import type { Notification, ReplicaHello, ReplicaState, RequestHead } from '../../src/channel/messages.ts';
import { type RequestListener, type ServerStream, ServerStreams } from '../../src/channel/server-streams.ts';

/** A request as the script of a fake replica sees it. */
export interface FakeCall {
  readonly head: RequestHead;
  readonly stream: ServerStream;
  /** what came of the body so far */
  readonly received: Buffer[];
  /** all of the body is here */
  readonly body: Promise<Buffer>;
  /** the ingress cancelled it, or its connection is gone */
  readonly cancelled: Promise<void>;
  /** resolves at the next window of the answer */
  nextWindow(): Promise<void>;
  /** a complete answer */
  answer(body: string | Buffer, options?: { readonly status?: number; readonly ok?: boolean }): void;
}

export interface FakeOptions {
  readonly socketPath: string;
  readonly replicaId: string;
  readonly maxOngoing?: number;
  readonly phase?: ReplicaState['phase'];
  readonly pid?: number;
  readonly beats?: boolean;
  /** body bytes are granted anew as they come, unless false */
  readonly grants?: boolean;
  /** refuses what is over maxOngoing, as a runner does */
  readonly onCall: (call: FakeCall) => void;
}

/** Speaks the channel on a Unix socket like a runner, and does with requests what a test's script says. */
export class FakeReplica {
  readonly #options: FakeOptions;
  readonly #server: Server;
  readonly #connections = new Set<FrameConnection>();
  readonly #beat: NodeJS.Timeout;
  #phase: ReplicaState['phase'];
  ongoing = 0;
  /** most calls that were there at once */
  peak = 0;
  /** calls that it let in */
  begun = 0;

  private constructor(options: FakeOptions) {
    this.#options = options;
    this.#phase = options.phase ?? 'ready';
    this.#server = createServer((socket) => this.#accept(socket));
    this.#beat = setInterval(() => {
      if (options.beats !== false) this.#notify({ event: 'beat', ongoing: this.ongoing });
    }, 500);
  }

  static async start(options: FakeOptions): Promise<FakeReplica> {
    const replica = new FakeReplica(options);
    rmSync(options.socketPath, { force: true });
    await new Promise<void>((resolve, reject) => {
      replica.#server.once('error', reject);
      replica.#server.listen(options.socketPath, resolve);
    });
    return replica;
  }

  get state(): ReplicaState {
    return {
      phase: this.#phase,
      max_ongoing: this.#options.maxOngoing ?? 4,
      ongoing: this.ongoing,
      error: null,
    };
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  become(phase: ReplicaState['phase']): void {
    this.#phase = phase;
    this.#notify({ event: 'state', state: this.state });
  }

  beatNow(): void {
    this.#notify({ event: 'beat', ongoing: this.ongoing });
  }

  /** What kill -9 does: every connection breaks, the socket file stays. */
  async die(): Promise<void> {
    clearInterval(this.#beat);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.destroy();
    await closed;
  }

  #notify(notification: Notification): void {
    for (const connection of this.#connections) connection.sendJson(FrameType.notify, 0, 0, notification);
  }

  #accept(socket: Socket): void {
    const streams = { current: null as ServerStreams | null };
    const connection = new FrameConnection(socket, {
      onFrame: (frame) => {
        if (frame.type === FrameType.hello) this.#greet(connection);
        else streams.current?.receive(frame);
      },
      onClose: () => {
        this.#connections.delete(connection);
        streams.current?.cancelAll();
      },
    });
    streams.current = new ServerStreams(connection, (head, end, stream) => this.#take(head, end, stream));
    this.#connections.add(connection);
  }

  #greet(connection: FrameConnection): void {
    const hello: ReplicaHello = {
      protocol: PROTOCOL_VERSION,
      role: 'replica',
      replica: this.#options.replicaId,
      deployment: 'Echo',
      pid: this.#options.pid ?? process.pid,
      state: this.state,
    };
    connection.sendJson(FrameType.hello, 0, 0, hello);
  }

  #take(head: RequestHead, end: boolean, stream: ServerStream): RequestListener {
    const silent = { onData: () => {}, onWindow: () => {}, onCancel: () => {} };
    if (this.ongoing >= this.state.max_ongoing || this.#phase !== 'ready') {
      stream.refuse(this.#phase === 'ready' ? 'full' : 'not_ready');
      return silent;
    }
    this.ongoing += 1;
    this.begun += 1;
    this.peak = Math.max(this.peak, this.ongoing);
    const body = deferred<Buffer>();
    const cancelled = deferred<void>();
    let window = deferred<void>();
    let isOver = false;
    const leave = () => {
      if (!isOver) this.ongoing -= 1;
      isOver = true;
    };
    const received: Buffer[] = [];
    if (end) body.resolve(Buffer.alloc(0));
    this.#options.onCall({
      head,
      stream,
      received,
      body: body.promise,
      cancelled: cancelled.promise,
      nextWindow: () => {
        window = deferred<void>();
        return window.promise;
      },
      answer: (content, { status = 200, ok = true } = {}) => {
        if (isOver) return;
        const bytes = Buffer.from(content);
        const headers = [
          ['content-type', 'application/json'],
          ['content-length', String(bytes.length)],
        ] as const;
        stream.respond({ status, headers, ok }, false);
        stream.write(bytes, true);
        leave();
      },
    });
    return {
      onData: (chunk, isLast) => {
        received.push(chunk);
        if (this.#options.grants !== false) stream.grant(chunk.length);
        if (isLast) body.resolve(Buffer.concat(received));
      },
      onWindow: () => window.resolve(),
      onCancel: () => {
        leave();
        cancelled.resolve();
      },
    };
  }
}

function deferred<Value>(): { readonly promise: Promise<Value>; readonly resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => {};
  const promise = new Promise<Value>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
