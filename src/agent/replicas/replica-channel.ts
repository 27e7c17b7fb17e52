import { setTimeout as delay } from 'node:timers/promises';
import { type ControlChannel, connectControl } from '../../channel/agent-client.ts';
import { ChannelError } from '../../channel/errors.ts';
import type {
  ReplicaState as ChannelState,
  ControlRequest,
  ControlResult,
  Notification,
  WorkReport,
} from '../../channel/messages.ts';
import { codeOf, messageOf } from '../../lib/errors.ts';

const HELLO_TIMEOUT_MS = 3_000;
const FIRST_RETRY_MS = 20;
const LONGEST_RETRY_MS = 50;

export interface ReplicaChannelOptions {
  readonly socketPath: string;
  readonly nodeId: string;
  /** who has to answer there */
  readonly replicaId: string;
  readonly pid: number;
}

export interface ReplicaChannelHandlers {
  /** at the handshake and at each change */
  readonly onState: (state: ChannelState) => void;
  readonly onBeat: () => void;
  /** what its calls have taken by now */
  readonly onWork: (report: WorkReport) => void;
  /** it speaks another version of the protocol; the message names both */
  readonly onForeign: (message: string) => void;
  /** the connection ended; it is made again until `stop` */
  readonly onLost: () => void;
}

/** The agent's connection to one process of a replica, kept up until it is stopped. */
export class ReplicaChannel {
  readonly #options: ReplicaChannelOptions;
  readonly #handlers: ReplicaChannelHandlers;
  readonly #stopping = new AbortController();
  #channel: ControlChannel | null = null;

  constructor(options: ReplicaChannelOptions, handlers: ReplicaChannelHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    void this.#keep();
  }

  /** @throws ChannelError CHANNEL_CLOSED while there is no connection, and as ControlChannel.control */
  async control(request: ControlRequest, timeoutMs: number): Promise<ControlResult> {
    if (this.#channel === null) {
      const { replicaId, socketPath } = this.#options;
      throw new ChannelError(
        'CHANNEL_CLOSED',
        `${request.op}: replica ${replicaId} does not answer on ${socketPath}`,
      );
    }
    return this.#channel.control(request, timeoutMs);
  }

  stop(): void {
    this.#stopping.abort();
    this.#channel?.close();
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stopping;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const lived = await this.#connectOnce();
      retryMs = lived ? FIRST_RETRY_MS : Math.min(LONGEST_RETRY_MS, retryMs * 2);
      await delay(retryMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One connection from its beginning to its end; false when the right replica never answered. */
  async #connectOnce(): Promise<boolean> {
    const { socketPath, nodeId } = this.#options;
    let closed: () => void = () => undefined;
    const end = new Promise<void>((resolve) => {
      closed = resolve;
    });
    const inbox = new Inbox(this.#handlers);
    let channel: ControlChannel;
    try {
      channel = await connectControl({
        socketPath,
        nodeId,
        timeoutMs: HELLO_TIMEOUT_MS,
        onNotify: (notification) => inbox.take(notification),
        onClose: () => closed(),
      });
    } catch (error) {
      // Else it is not listening yet, or not any more: the process itself is watched elsewhere.
      if (codeOf(error) === 'CHANNEL_VERSION') this.#handlers.onForeign(messageOf(error));
      return false;
    }
    if (!this.#isRight(channel)) {
      channel.close();
      return false;
    }
    this.#channel = channel;
    inbox.open(channel.hello.state);
    await end;
    this.#channel = null;
    if (!this.#stopping.signal.aborted) this.#handlers.onLost();
    return true;
  }

  #isRight({ hello }: ControlChannel): boolean {
    if (this.#stopping.signal.aborted) return false;
    return hello.replica === this.#options.replicaId && hello.pid === this.#options.pid;
  }
}

/** Notifications may come in the same packet as the hello: the newest state then counts, not the hello's. */
class Inbox {
  readonly #handlers: ReplicaChannelHandlers;
  #isOpen = false;
  #early: ChannelState | null = null;

  constructor(handlers: ReplicaChannelHandlers) {
    this.#handlers = handlers;
  }

  take(notification: Notification): void {
    if (notification.event === 'beat') this.#handlers.onBeat();
    if (notification.event === 'work') this.#handlers.onWork(notification);
    if (notification.event !== 'state') return;
    if (this.#isOpen) this.#handlers.onState(notification.state);
    else this.#early = notification.state;
  }

  open(helloState: ChannelState): void {
    this.#isOpen = true;
    this.#handlers.onState(this.#early ?? helloState);
  }
}
