import type { FrameConnection } from './connection.ts';
import { dial, parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import type { ControlRequest, ControlResult, Notification, ReplicaHello } from './messages.ts';

export interface ControlOptions {
  readonly socketPath: string;
  /** of the agent's node */
  readonly nodeId: string;
  /** for connecting and the handshake together */
  readonly timeoutMs: number;
  readonly onNotify: (notification: Notification) => void;
  /** once, after the connection was made and then ended; null when the replica closed in order */
  readonly onClose: (error: Error | null) => void;
}

/** An agent's connection to a replica. */
export interface ControlChannel {
  readonly hello: ReplicaHello;
  /**
   * Asks and waits for the answer; a request that timed out may still take effect.
   * @throws ChannelError CHANNEL_TIMEOUT, or CHANNEL_CLOSED when the connection ends first
   */
  control(request: ControlRequest, timeoutMs: number): Promise<ControlResult>;
  /** Idempotent. onClose is told. */
  close(): void;
}

/**
 * Connects to a replica as its agent. `onNotify` may be called before the promise's own continuation runs, never before
 * the hello.
 * @throws ChannelError CHANNEL_CONNECT (nobody there yet), CHANNEL_TIMEOUT, CHANNEL_VERSION, CHANNEL_PROTOCOL
 */
export function connectControl(options: ControlOptions): Promise<ControlChannel> {
  return new Promise((resolve, reject) => {
    let control: ReplicaControl | null = null;
    const connection = dial(
      {
        address: { path: options.socketPath },
        hello: { protocol: PROTOCOL_VERSION, role: 'agent', node: options.nodeId },
        tls: null,
        timeoutMs: options.timeoutMs,
      },
      {
        onHello: (hello) => {
          control = new ReplicaControl(connection, hello as ReplicaHello, options);
          resolve(control);
        },
        onFrame: (frame) => control?.receive(frame),
        onClose: (error) => {
          if (control === null) reject(error);
          else control.lose(error);
        },
      },
    );
  });
}

interface Waiter {
  readonly settle: (outcome: ControlResult | ChannelError) => void;
}

class ReplicaControl implements ControlChannel {
  readonly hello: ReplicaHello;
  readonly #connection: FrameConnection;
  readonly #options: ControlOptions;
  readonly #waiters = new Map<number, Waiter>();
  #lastNumber = 0;

  constructor(connection: FrameConnection, hello: ReplicaHello, options: ControlOptions) {
    this.#connection = connection;
    this.hello = hello;
    this.#options = options;
  }

  control(request: ControlRequest, timeoutMs: number): Promise<ControlResult> {
    const what = `${request.op} of replica ${this.hello.replica}`;
    if (!this.#connection.isOpen) {
      return Promise.reject(
        new ChannelError('CHANNEL_CLOSED', `${what}: the connection to the replica is closed`),
      );
    }
    this.#lastNumber += 1;
    const number = this.#lastNumber;
    return new Promise((resolve, reject) => {
      const settle = (outcome: ControlResult | ChannelError) => {
        clearTimeout(deadline);
        this.#waiters.delete(number);
        if (outcome instanceof ChannelError) reject(outcome);
        else resolve(outcome);
      };
      const deadline = setTimeout(() => {
        settle(new ChannelError('CHANNEL_TIMEOUT', `${what}: no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiters.set(number, { settle });
      this.#connection.sendJson(FrameType.control, 0, number, request);
    });
  }

  close(): void {
    this.#connection.destroy();
  }

  receive(frame: Frame): void {
    switch (frame.type) {
      case FrameType.result:
        this.#waiters.get(frame.stream)?.settle(parsePayload(frame) as ControlResult);
        return;
      case FrameType.notify:
        this.#options.onNotify(parsePayload(frame) as Notification);
        return;
      case FrameType.ping:
        this.#connection.send(FrameType.pong, 0, 0, frame.payload);
        return;
      default: // goaway comes with the state `draining`, which onNotify tells; the rest is for ingresses
    }
  }

  lose(error: Error | null): void {
    for (const waiter of [...this.#waiters.values()]) {
      waiter.settle(
        new ChannelError(
          'CHANNEL_CLOSED',
          `replica ${this.hello.replica} closed its connection before it answered`,
          {
            cause: error,
          },
        ),
      );
    }
    this.#options.onClose(error);
  }
}
