import { connect, type Socket } from 'node:net';
import { FrameConnection } from '../../../src/channel/connection.ts';
import {
  FLAG_END,
  type Frame,
  FrameType,
  INITIAL_WINDOW_BYTES,
  MAX_PAYLOAD_BYTES,
} from '../../../src/channel/frames.ts';
import type {
  ControlRequest,
  ControlResult,
  Notification,
  ReplicaHello,
  RequestHead,
} from '../../../src/channel/messages.ts';
import { until } from './until.ts';

export type Outcome =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly ok: boolean;
      readonly body: Buffer;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'failed'; readonly code: string; readonly info: string };

export interface RequestOptions extends Partial<RequestHead> {
  readonly body?: Uint8Array | string;
  /** more of the body follows by other calls */
  readonly open?: boolean;
  /** default: more window is granted as data comes; false: none */
  readonly grant?: boolean;
}

interface Open {
  readonly settle: (outcome: Outcome) => void;
  readonly grant: boolean;
  head: { status: number; headers: [string, string][]; ok: boolean } | null;
  readonly parts: Buffer[];
}

/** A connector that shows what it hears, frame by frame. */
export class ChannelClient {
  readonly frames: Frame[] = [];
  readonly notifications: Notification[] = [];
  hello: ReplicaHello | null = null;
  goaway: string | null = null;
  closed = false;
  /** false: like an ingress that has not got round to reading */
  answersPings = true;
  readonly #socket: Socket;
  readonly #connection: FrameConnection;
  readonly #open = new Map<number, Open>();
  readonly #results = new Map<number, (result: ControlResult) => void>();
  #lastStream = 0;

  constructor(socketPath: string) {
    this.#socket = connect(socketPath);
    this.#connection = new FrameConnection(this.#socket, {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => {
        this.closed = true;
      },
    });
  }

  get phase(): string {
    const states = this.notifications.flatMap((each) => (each.event === 'state' ? [each.state.phase] : []));
    return states.at(-1) ?? this.hello?.state.phase ?? 'unknown';
  }

  send(type: FrameType, flags: number, stream: number, payload?: Uint8Array | string): void {
    this.#connection.send(type, flags, stream, typeof payload === 'string' ? Buffer.from(payload) : payload);
  }

  nextStream(): number {
    this.#lastStream += 1;
    return this.#lastStream;
  }

  request(options: RequestOptions = {}): { readonly stream: number; readonly outcome: Promise<Outcome> } {
    const { body, grant, open, ...head } = options;
    const stream = this.nextStream();
    const outcome = new Promise<Outcome>((settle) => {
      this.#open.set(stream, { settle, grant: grant ?? true, head: null, parts: [] });
    });
    const bytes = Buffer.from(body ?? '');
    this.#connection.sendJson(FrameType.request, bytes.length === 0 && open !== true ? FLAG_END : 0, stream, {
      id: `request-${stream}`,
      replica: 'Echo-test',
      method: 'GET',
      path: '/echo',
      query: '',
      scheme: 'http',
      headers: [],
      client: ['127.0.0.1', 40000],
      timeout_ms: 20_000,
      expose_errors: true,
      ...head,
    });
    for (let offset = 0; offset < bytes.length; offset += MAX_PAYLOAD_BYTES) {
      const last = offset + MAX_PAYLOAD_BYTES >= bytes.length;
      this.send(
        FrameType.data,
        last ? FLAG_END : 0,
        stream,
        bytes.subarray(offset, offset + MAX_PAYLOAD_BYTES),
      );
    }
    return { stream, outcome };
  }

  /** Sends a body of any size, never more of it than the window allows. */
  async upload(body: Buffer, head: RequestOptions = {}): Promise<Outcome> {
    const { stream, outcome } = this.request({ ...head, open: true });
    let offset = 0;
    while (offset < body.length) {
      const end = Math.min(
        body.length,
        INITIAL_WINDOW_BYTES + this.#granted(stream),
        offset + MAX_PAYLOAD_BYTES,
      );
      if (end > offset)
        this.send(FrameType.data, end === body.length ? FLAG_END : 0, stream, body.subarray(offset, end));
      else await until(() => INITIAL_WINDOW_BYTES + this.#granted(stream) > offset, 'more window');
      offset = end;
    }
    return outcome;
  }

  #granted(stream: number): number {
    return this.frames
      .filter((frame) => frame.type === FrameType.window && frame.stream === stream)
      .reduce((sum, frame) => sum + frame.payload.readUInt32BE(), 0);
  }

  /** The JSON answer to a JSON body. */
  async call(parameters: unknown, options: RequestOptions = {}): Promise<Outcome & { json?: unknown }> {
    const outcome = await this.request({ body: JSON.stringify(parameters), ...options }).outcome;
    return outcome.kind === 'response' ? { ...outcome, json: parsed(outcome.body) } : outcome;
  }

  control(request: ControlRequest): Promise<ControlResult> {
    const stream = this.nextStream();
    return new Promise((resolve) => {
      this.#results.set(stream, resolve);
      this.#connection.sendJson(FrameType.control, FLAG_END, stream, request);
    });
  }

  grant(stream: number, sizeBytes: number): void {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(sizeBytes);
    this.send(FrameType.window, 0, stream, payload);
  }

  dataBytes(stream: number): number {
    return this.frames
      .filter((frame) => frame.type === FrameType.data && frame.stream === stream)
      .reduce((sum, frame) => sum + frame.payload.length, 0);
  }

  async ready(): Promise<this> {
    await until(() => this.phase === 'ready', `phase ready (is ${this.phase})`);
    return this;
  }

  /** Reads nothing until `resume`, like an ingress that is busy with something else. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #receive(frame: Frame): void {
    this.frames.push({ ...frame, payload: Buffer.from(frame.payload) });
    const open = this.#open.get(frame.stream);
    if (frame.type === FrameType.hello) this.hello = json(frame) as ReplicaHello;
    else if (frame.type === FrameType.ping && this.answersPings)
      this.send(FrameType.pong, 0, 0, frame.payload);
    else if (frame.type === FrameType.notify) this.notifications.push(json(frame) as Notification);
    else if (frame.type === FrameType.goaway) this.goaway = (json(frame) as { reason: string }).reason;
    else if (frame.type === FrameType.result) this.#results.get(frame.stream)?.(json(frame) as ControlResult);
    else if (open !== undefined) this.#advance(frame, open);
  }

  #advance(frame: Frame, open: Open): void {
    if (frame.type === FrameType.response) open.head = json(frame) as NonNullable<Open['head']>;
    if (frame.type === FrameType.data) {
      open.parts.push(Buffer.from(frame.payload));
      if (open.grant && frame.payload.length > 0) this.grant(frame.stream, frame.payload.length);
    }
    const ended = (frame.flags & FLAG_END) !== 0 && open.head !== null;
    if (frame.type === FrameType.refuse)
      this.#settle(frame, { kind: 'refused', ...(json(frame) as { reason: string }) });
    else if (frame.type === FrameType.failed)
      this.#settle(frame, { kind: 'failed', ...(json(frame) as { code: string; info: string }) });
    else if (ended && open.head !== null) {
      const { status, headers, ok } = open.head;
      const body = Buffer.concat(open.parts);
      this.#settle(frame, { kind: 'response', status, headers: Object.fromEntries(headers), ok, body });
    }
  }

  #settle(frame: Frame, outcome: Outcome): void {
    this.#open.get(frame.stream)?.settle(outcome);
    this.#open.delete(frame.stream);
  }
}

/** A connector that has said hello and was answered. */
export async function connectClient(socketPath: string, role: 'agent' | 'ingress'): Promise<ChannelClient> {
  const client = new ChannelClient(socketPath);
  client.send(FrameType.hello, 0, 0, JSON.stringify({ protocol: 1, role, node: 'node-test' }));
  await until(() => client.hello !== null || client.closed, 'hello of the replica');
  return client;
}

function json(frame: Frame): unknown {
  return JSON.parse(frame.payload.toString());
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}
