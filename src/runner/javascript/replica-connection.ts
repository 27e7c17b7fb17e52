import type { Socket } from 'node:net';
import { FrameConnection } from '../../channel/connection.ts';
import { parsePayload } from '../../channel/dial.ts';
import { ChannelError } from '../../channel/errors.ts';
import { FLAG_END, type Frame, FrameType, PROTOCOL_VERSION } from '../../channel/frames.ts';
import type {
  ConnectorHello,
  ControlRequest,
  GoAway,
  Notification,
  Refusal,
  ReplicaHello,
  RequestHead,
} from '../../channel/messages.ts';
import { StreamTable } from '../../channel/stream-table.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Exchange } from './exchange.ts';
import { note } from './note.ts';
import type { Replica } from './replica.ts';

/** Who connects says hello at once. */
const HELLO_MS = 5_000;
const MAX_UNREAD_BYTES = 1024 * 1024;
/** An error text travels in one frame, whose limit is 64 KiB. */
const MAX_ERROR_CHARS = 10_000;

const AWARENESS_PING = Buffer.from('go away?');

export const DRAINING = 'the replica is draining';

export interface ReplicaConnectionListener {
  readonly onHello: (connection: ReplicaConnection) => void;
  readonly onClose: (connection: ReplicaConnection) => void;
  /** it knows that nothing new is taken: see isUnaware */
  readonly onAware: () => void;
}

/** The replica's end of one connection: an agent's or an ingress'. */
export class ReplicaConnection {
  readonly #replica: Replica;
  readonly #listener: ReplicaConnectionListener;
  readonly #connection: FrameConnection;
  readonly #exchanges = new StreamTable<Exchange>();
  readonly #helloTimer: NodeJS.Timeout;
  #role: ConnectorHello['role'] | null = null;
  #isUnaware = false;

  constructor(socket: Socket, replica: Replica, listener: ReplicaConnectionListener) {
    this.#replica = replica;
    this.#listener = listener;
    this.#connection = new FrameConnection(socket, {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => this.#close(),
    });
    this.#helloTimer = setTimeout(() => this.#connection.destroy(), HELLO_MS);
  }

  /** null before its hello. */
  get role(): ConnectorHello['role'] | null {
    return this.#role;
  }

  /** An ingress was told to send nothing new, and has not shown yet that it knows: a request may be on its way. */
  get isUnaware(): boolean {
    return this.#isUnaware;
  }

  /** A sign of life. A peer that does not read is not sent ever more of them. */
  beat(ongoing: number): void {
    if (this.#connection.bufferedBytes < MAX_UNREAD_BYTES) this.notify({ event: 'beat', ongoing });
  }

  notify(notification: Notification): void {
    this.#connection.sendJson(FrameType.notify, 0, 0, notification);
  }

  goAway(reason: string): void {
    const goAway: GoAway = { reason };
    this.#connection.sendJson(FrameType.goaway, 0, 0, goAway);
    if (this.#role !== 'ingress') return;
    this.#isUnaware = true; // what it had sent before it knew comes before its pong
    this.#connection.send(FrameType.ping, 0, 0, AWARENESS_PING);
  }

  /** What was sent before still leaves. */
  end(): void {
    this.#connection.end();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #receive(frame: Frame): void {
    try {
      if (this.#role === null) this.#greet(frame);
      else this.#dispatch(frame);
    } catch (error) {
      this.#breakOff(error);
    }
  }

  #breakOff(error: unknown): void {
    note(`a connection is closed: ${messageOf(error)}`);
    this.#connection.destroy();
  }

  #greet(frame: Frame): void {
    if (frame.type !== FrameType.hello) throw broken(`a frame of type ${frame.type} came before hello`);
    const hello = parsePayload(frame) as ConnectorHello;
    clearTimeout(this.#helloTimer);
    if (hello.protocol !== PROTOCOL_VERSION) {
      this.goAway(`this replica speaks protocol ${PROTOCOL_VERSION}, ${hello.node} speaks ${hello.protocol}`);
      this.#connection.end();
      return;
    }
    this.#role = hello.role;
    const { replica, deployment } = this.#replica.launch;
    const answer: ReplicaHello = {
      protocol: PROTOCOL_VERSION,
      role: 'replica',
      replica,
      deployment,
      pid: process.pid,
      state: this.#replica.state,
    };
    this.#connection.sendJson(FrameType.hello, 0, 0, answer);
    if (this.#replica.state.phase === 'draining') this.goAway(DRAINING);
    this.#listener.onHello(this);
  }

  #dispatch(frame: Frame): void {
    const exchange = this.#exchanges.get(frame.stream);
    switch (frame.type) {
      case FrameType.request:
        this.#request(frame);
        break;
      case FrameType.data:
        exchange?.receive(frame);
        break;
      case FrameType.window:
        exchange?.grant(frame.payload.readUInt32BE(0));
        break;
      case FrameType.cancel:
        exchange?.cancel();
        this.#exchanges.delete(frame.stream);
        break;
      case FrameType.ping:
        this.#connection.send(FrameType.pong, 0, 0, frame.payload);
        break;
      case FrameType.pong:
        if (this.#isUnaware) {
          this.#isUnaware = false;
          this.#listener.onAware();
        }
        break;
      case FrameType.control:
        this.#control(frame).catch((error: unknown) => this.#breakOff(error));
        break;
      default: // a later version may send more
    }
  }

  #request(frame: Frame): void {
    this.#checkStream(frame.stream);
    const headText = frame.payload.toString('utf8');
    const head = parsePayload(frame, headText) as RequestHead;
    const reason = this.#replica.refusalOf(head);
    if (reason !== null) {
      const refusal: Refusal = { reason };
      this.#connection.sendJson(FrameType.refuse, FLAG_END, frame.stream, refusal);
      return;
    }
    const { stream } = frame;
    const exchange = this.#replica.open({ connection: this.#connection, stream, head, headText }, () => {
      this.#exchanges.delete(stream);
    });
    this.#exchanges.set(stream, exchange);
    if ((frame.flags & FLAG_END) !== 0) exchange.begin();
  }

  async #control(frame: Frame): Promise<void> {
    this.#checkStream(frame.stream);
    const request = parsePayload(frame) as ControlRequest;
    const result =
      this.#role === 'agent'
        ? await this.#replica.control(request)
        : { ok: false, error: `controls are taken from an agent only, not from ${this.#role}` };
    const bounded =
      result.error === undefined ? result : { ...result, error: result.error.slice(0, MAX_ERROR_CHARS) };
    this.#connection.sendJson(FrameType.result, FLAG_END, frame.stream, bounded);
  }

  /** The connector chooses the numbers; one of a request that is still open would mix up two answers. */
  #checkStream(stream: number): void {
    if (stream === 0 || this.#exchanges.has(stream)) throw broken(`stream ${stream} is not free`);
  }

  #close(): void {
    clearTimeout(this.#helloTimer);
    for (const exchange of this.#exchanges.values()) exchange.cancel();
    this.#listener.onClose(this);
  }
}

function broken(message: string): ChannelError {
  return new ChannelError('CHANNEL_PROTOCOL', message);
}
