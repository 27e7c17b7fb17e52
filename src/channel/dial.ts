import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { messageOf } from '../lib/errors.ts';
import { isOutOfTime, isUntrusted, OUT_OF_TIME } from '../lib/tls/errors.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { FrameConnection } from './connection.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import type { ConnectorHello, GoAway } from './messages.ts';
import { ReadSlab } from './read-slab.ts';

/** Where a peer listens: a Unix socket, or a TCP address for a link. */
export type PeerAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface DialOptions {
  readonly address: PeerAddress;
  readonly hello: ConnectorHello;
  /** null: plain, as on Unix sockets */
  readonly tls: LiveTls | null;
  /** for connecting and the peer's hello together */
  readonly timeoutMs: number;
}

export interface DialHandlers {
  /** the peer's hello, its protocol version checked; whatever it threw closes the connection */
  readonly onHello: (hello: unknown) => void;
  readonly onFrame: (frame: Frame) => void;
  /** once, also when the connection was never made; null when the peer closed in order */
  readonly onClose: (error: Error | null) => void;
}

/**
 * Connects, says hello and checks the answer. Nothing is thrown and nothing awaited: what follows is told to the
 * handlers, so that no frame is missed between the hello and what comes behind it in the same packet.
 */
export function dial(options: DialOptions, handlers: DialHandlers): FrameConnection {
  const where = describeAddress(options.address);
  let greeted = false;
  const deadline = setTimeout(() => {
    connection.destroy(
      new ChannelError('CHANNEL_TIMEOUT', `${where} did not answer hello within ${options.timeoutMs} ms`),
    );
  }, options.timeoutMs);
  const slab = new ReadSlab();
  const onread = {
    buffer: () => slab.room(),
    callback: (bytes: number) => {
      connection.receive(slab.taken(bytes));
      return true;
    },
  };
  const target = { ...options.address, onread };
  const socket =
    options.tls === null ? connect(target) : connectTls({ ...target, ...options.tls.clientOptions });
  const connection = new FrameConnection(socket, {
    onFrame: (frame) => {
      if (greeted) {
        handlers.onFrame(frame);
        return;
      }
      const hello = readHello(frame, where);
      greeted = true;
      clearTimeout(deadline);
      handlers.onHello(hello);
    },
    onClose: (error) => {
      clearTimeout(deadline);
      handlers.onClose(greeted ? error : connectError(where, error));
    },
  });
  connection.sendJson(FrameType.hello, 0, 0, options.hello);
  return connection;
}

/**
 * The JSON object of a frame's payload.
 * @param text the payload as text, where the caller needs that, too
 * @throws ChannelError CHANNEL_PROTOCOL
 */
export function parsePayload(frame: Frame, text = frame.payload.toString('utf8')): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // falls through to the error that names the frame
  }
  throw new ChannelError(
    'CHANNEL_PROTOCOL',
    `frame of type ${frame.type} on stream ${frame.stream}: expected a JSON object, found ${frame.payload.length} other bytes`,
  );
}

export function describeAddress(address: PeerAddress): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}

function readHello(frame: Frame, where: string): object {
  if (frame.type === FrameType.goaway) {
    const { reason } = parsePayload(frame) as GoAway;
    throw new ChannelError('CHANNEL_VERSION', `${where} refused the connection: ${reason}`);
  }
  if (frame.type !== FrameType.hello) {
    throw new ChannelError('CHANNEL_PROTOCOL', `${where} sent frame type ${frame.type} before its hello`);
  }
  const hello = parsePayload(frame);
  const protocol = 'protocol' in hello ? hello.protocol : 'none';
  if (protocol !== PROTOCOL_VERSION) {
    throw new ChannelError(
      'CHANNEL_VERSION',
      `${where} speaks channel protocol ${String(protocol)}, this is ${PROTOCOL_VERSION}: run the same modelserve version on both sides`,
    );
  }
  return hello;
}

function connectError(where: string, error: Error | null): ChannelError {
  if (error instanceof ChannelError) return error;
  if (isOutOfTime(error)) {
    const message = `${where} shows a certificate that is not good now (${messageOf(error)}): ${OUT_OF_TIME}`;
    return new ChannelError('CHANNEL_AUTH', message, { cause: error });
  }
  if (isUntrusted(error)) {
    const message = `${where} shows no certificate of this cluster (${messageOf(error)}): is it of another cluster, or was the token changed?`;
    return new ChannelError('CHANNEL_AUTH', message, { cause: error });
  }
  const why = error === null ? 'it closed the connection before its hello' : messageOf(error);
  return new ChannelError('CHANNEL_CONNECT', `cannot connect to ${where}: ${why}`, { cause: error });
}
