import { ReplicaChannel } from '../channel/client.ts';
import { ChannelError } from '../channel/errors.ts';
import type { LaunchFile } from '../channel/launch.ts';
import { encodeHead, type RequestHead, type ResponseHead } from '../channel/messages.ts';
import type { ClientStream, StreamListener } from '../channel/streams.ts';
import type { JsonValue } from '../lib/json.ts';

export interface CallRequest {
  readonly method: string;
  /** the JSON body; null: none */
  readonly param: JsonValue | null;
}

export interface CallAnswer {
  readonly ok: boolean;
  /** null: the backend did not answer, `message` says why */
  readonly status: number | null;
  readonly contentType: string;
  readonly body: Buffer;
  readonly message: string;
  /** from sending the request to the end of the answer */
  readonly tookMs: number;
}

/**
 * Sends one request to a replica that is ready, as an ingress would, and collects the whole answer.
 * @throws ChannelError when the connection cannot be made or ends first
 */
export async function callOnce(
  launch: LaunchFile,
  request: CallRequest,
  timeoutMs: number,
): Promise<CallAnswer> {
  const channel = await openChannel(launch, timeoutMs);
  try {
    return await exchange(channel, launch, request, timeoutMs);
  } finally {
    channel.close();
  }
}

function openChannel(launch: LaunchFile, timeoutMs: number): Promise<ReplicaChannel> {
  return new Promise((resolve, reject) => {
    const channel: ReplicaChannel = new ReplicaChannel(
      { socketPath: launch.socket, replicaId: launch.replica, nodeId: 'check', timeoutMs },
      { onState: () => resolve(channel), onBeat: noop, onClose: (error) => reject(error ?? lost()) },
    );
  });
}

function exchange(
  channel: ReplicaChannel,
  launch: LaunchFile,
  request: CallRequest,
  timeoutMs: number,
): Promise<CallAnswer> {
  return new Promise((resolve, reject) => {
    const body = request.param === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify(request.param));
    const beganMs = performance.now();
    const listener = collector(
      (answer) => resolve({ ...answer, tookMs: performance.now() - beganMs }),
      reject,
    );
    const stream = channel.open(
      encodeHead(headOf(launch, request, timeoutMs)),
      body.length === 0,
      listener.on,
    );
    listener.send(stream, body);
  });
}

type Outcome = Omit<CallAnswer, 'tookMs'>;

interface Collector {
  readonly on: StreamListener;
  /** sends the body, as the window allows */
  readonly send: (stream: ClientStream, body: Buffer) => void;
}

function collector(resolve: (answer: Outcome) => void, reject: (error: Error) => void): Collector {
  const chunks: Buffer[] = [];
  let head: ResponseHead | null = null;
  let pump = noop;
  let grant: (bytes: number) => void = noop;
  const settle = (end: boolean): void => {
    if (end && head !== null) resolve(answered(head, Buffer.concat(chunks)));
  };
  return {
    on: {
      onResponse: (responseHead, end) => {
        head = responseHead;
        settle(end);
      },
      onData: (chunk, end) => {
        chunks.push(Buffer.from(chunk));
        grant(chunk.length);
        settle(end);
      },
      onRefused: ({ reason }) => resolve(unanswered(`the replica refused the request: ${reason}`)),
      onFailed: ({ code, info }) => resolve(unanswered(`${code}: ${info}`)),
      onLost: () => reject(lost()),
      onWindow: () => pump(),
    },
    send: (stream, body) => {
      let sent = 0;
      grant = (bytes) => stream.grant(bytes);
      pump = () => {
        while (sent < body.length && stream.sendableBytes > 0 && stream.isOpen) {
          const part = body.subarray(sent, sent + stream.sendableBytes);
          sent += part.length;
          stream.write(part, sent === body.length);
        }
      };
      pump();
    },
  };
}

function headOf(launch: LaunchFile, request: CallRequest, timeoutMs: number): RequestHead {
  return {
    id: 'check',
    replica: launch.replica,
    method: request.method,
    path: '/check',
    query: '',
    scheme: 'http',
    headers: [
      ['host', 'localhost'],
      ['content-type', 'application/json'],
    ],
    client: ['127.0.0.1', 0],
    timeout_ms: timeoutMs,
    expose_errors: true,
  };
}

function answered(head: ResponseHead, body: Buffer): Outcome {
  const contentType = head.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  return { ok: head.ok && head.status < 400, status: head.status, contentType, body, message: '' };
}

function unanswered(message: string): Outcome {
  return { ok: false, status: null, contentType: '', body: Buffer.alloc(0), message };
}

function lost(): ChannelError {
  return new ChannelError('CHANNEL_CLOSED', 'the replica closed its connection before it answered');
}

function noop(): void {
  // nothing to do yet
}
