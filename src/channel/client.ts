import type { FrameConnection } from './connection.ts';
import { dial, parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import type { EncodedHead, Notification, ReplicaHello, ReplicaState } from './messages.ts';
import { type ClientStream, ClientStreams, type StreamListener } from './streams.ts';

export interface ReplicaChannelOptions {
  readonly socketPath: string;
  readonly replicaId: string;
  /** of the connector's own node */
  readonly nodeId: string;
  /** for connecting and the handshake together */
  readonly timeoutMs: number;
}

export interface ReplicaChannelListener {
  /** the replica said hello, changed its state, or is going away */
  onState(): void;
  /** a sign of life, every 500 ms */
  onBeat(): void;
  /** once, whatever ended it, also when it never opened; open requests have heard onLost before */
  onClose(error: Error | null): void;
}

/** An ingress' connection to one replica on its node. Opens at construction; a new object is made to connect again. */
export class ReplicaChannel {
  readonly #connection: FrameConnection;
  readonly #streams: ClientStreams;
  readonly #options: ReplicaChannelOptions;
  readonly #listener: ReplicaChannelListener;
  #hello: ReplicaHello | null = null;
  #state: ReplicaState | null = null;
  #isGoingAway = false;
  #lastHeardMs = performance.now();

  constructor(options: ReplicaChannelOptions, listener: ReplicaChannelListener) {
    this.#options = options;
    this.#listener = listener;
    this.#connection = dial(
      {
        address: { path: options.socketPath },
        hello: { protocol: PROTOCOL_VERSION, role: 'ingress', node: options.nodeId },
        tls: null,
        timeoutMs: options.timeoutMs,
      },
      {
        onHello: (hello) => this.#greet(hello as ReplicaHello),
        onFrame: (frame) => this.#receive(frame),
        onClose: (error) => {
          this.#streams.loseAll();
          listener.onClose(error);
        },
      },
    );
    this.#streams = new ClientStreams(this.#connection);
  }

  /** null until the handshake is done. */
  get hello(): ReplicaHello | null {
    return this.#hello;
  }

  get isReady(): boolean {
    return this.#state?.phase === 'ready' && !this.#isGoingAway && this.#connection.isOpen;
  }

  /** How many calls the replica lets in at once; 0 until it is known. */
  get maxOngoing(): number {
    return this.#state?.max_ongoing ?? 0;
  }

  /** When anything came last, on the clock of performance.now(). */
  get lastHeardMs(): number {
    return this.#lastHeardMs;
  }

  /** Sends a request; its outcome is told to the listener. Only where `isReady`. */
  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream {
    return this.#streams.open(head, end, listener);
  }

  close(): void {
    this.#connection.destroy();
  }

  #greet(hello: ReplicaHello): void {
    if (hello.replica !== this.#options.replicaId) {
      throw new ChannelError(
        'CHANNEL_PROTOCOL',
        `${this.#options.socketPath} is replica ${hello.replica}, expected ${this.#options.replicaId}`,
      );
    }
    this.#hello = hello;
    this.#state = hello.state;
    this.#lastHeardMs = performance.now();
    this.#listener.onState();
  }

  #receive(frame: Frame): void {
    this.#lastHeardMs = performance.now();
    switch (frame.type) {
      case FrameType.notify:
        this.#notice(parsePayload(frame) as Notification);
        return;
      case FrameType.goaway:
        this.#isGoingAway = true;
        this.#listener.onState();
        return;
      case FrameType.ping:
        this.#connection.send(FrameType.pong, 0, 0, frame.payload);
        return;
      default:
        this.#streams.receive(frame);
    }
  }

  #notice(notification: Notification): void {
    if (notification.event === 'state') {
      this.#state = notification.state;
      this.#listener.onState();
    } else if (notification.event === 'beat') this.#listener.onBeat();
  }
}
