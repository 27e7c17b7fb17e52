import type { LiveSecrets } from '../lib/live-secrets.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import type { FrameConnection } from './connection.ts';
import { describeAddress, dial, type PeerAddress, parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import { linkMac, linkNonce, provenKey } from './link-auth.ts';
import type {
  EncodedHead,
  GoAway,
  LinkChallenge,
  LinkHello,
  LinkProof,
  Notification,
  ReadyReplica,
} from './messages.ts';
import { type ClientStream, ClientStreams, type StreamListener } from './streams.ts';

export const LINK_PING_MS = 1_000;
/** After this much silence a link is broken, whatever TCP says: a partition without a reset lasts minutes there. */
export const LINK_SILENCE_MS = 3_500;

export interface LinkOptions {
  readonly address: PeerAddress;
  /** of this end */
  readonly nodeId: string;
  /** who is expected to answer */
  readonly peerNodeId: string;
  readonly linkKeys: LiveSecrets;
  /** the certificate of this node; null: links are plain */
  readonly tls: LiveTls | null;
  /** for connecting and the peer's challenge together */
  readonly timeoutMs: number;
}

export interface LinkListener {
  /** the peer has accepted this end, or what it has ready changed */
  onReplicas(): void;
  /** once, whatever ended it, also when it never opened; open requests have heard onLost before */
  onClose(error: Error | null): void;
}

/** The connecting end of a link to another node's ingress. Opens at construction; a new object connects again. */
export class Link {
  readonly #options: LinkOptions;
  readonly #listener: LinkListener;
  readonly #nonce = linkNonce();
  readonly #connection: FrameConnection;
  readonly #streams: ClientStreams;
  readonly #pulse: NodeJS.Timeout;
  #isAccepted = false;
  #ready: readonly ReadyReplica[] = [];
  #lastHeardMs = performance.now();
  #isRetired = false;

  constructor(options: LinkOptions, listener: LinkListener) {
    this.#options = options;
    this.#listener = listener;
    const hello: LinkHello = {
      protocol: PROTOCOL_VERSION,
      role: 'link',
      node: options.nodeId,
      nonce: this.#nonce,
    };
    this.#connection = dial(
      { address: options.address, hello, tls: options.tls, timeoutMs: options.timeoutMs },
      {
        onHello: (challenge) => this.#prove(challenge as LinkChallenge),
        onFrame: (frame) => this.#receive(frame),
        onClose: (error) => this.#lose(error),
      },
    );
    this.#streams = new ClientStreams(this.#connection, () => this.#endIfDone());
    this.#pulse = setInterval(() => this.#beat(), LINK_PING_MS);
  }

  /** Both ends have proved the key; requests may be sent. */
  get isOpen(): boolean {
    return this.#isAccepted && this.#connection.isOpen;
  }

  /** What the far node can serve now. */
  get ready(): readonly ReadyReplica[] {
    return this.#ready;
  }

  /** Sends a request for a replica of the far node, or ('' as replica) for the node itself. Only where `isOpen`. */
  open(head: EncodedHead, end: boolean, listener: StreamListener): ClientStream {
    return this.#streams.open(head, end, listener);
  }

  close(): void {
    this.#connection.destroy();
  }

  /** Closes as soon as no request is on it; it is given no more from here on. */
  retire(): void {
    this.#isRetired = true;
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#isRetired && this.#streams.isIdle) this.#connection.destroy();
  }

  #prove(challenge: LinkChallenge): void {
    const { address, linkKeys, nodeId, peerNodeId } = this.#options;
    const where = describeAddress(address);
    const handshake = {
      connectorNode: nodeId,
      connectorNonce: this.#nonce,
      answererNode: challenge.node,
      answererNonce: challenge.nonce,
    };
    if (provenKey(linkKeys.all, 'answer', { handshake, mac: challenge.link_mac }) === null) {
      throw new ChannelError(
        'CHANNEL_AUTH',
        `${where} does not hold this cluster's link key: is node ${peerNodeId} of another cluster, or was the token replaced while one of the two was away?`,
      );
    }
    if (challenge.node !== peerNodeId) {
      throw new ChannelError(
        'CHANNEL_PROTOCOL',
        `${where} is node ${challenge.node}, expected ${peerNodeId}`,
      );
    }
    const proof: LinkProof = { link_mac: linkMac(linkKeys.current, 'connect', handshake) };
    this.#connection.sendJson(FrameType.hello, 0, 0, proof);
    this.#lastHeardMs = performance.now();
  }

  #receive(frame: Frame): void {
    this.#lastHeardMs = performance.now();
    switch (frame.type) {
      case FrameType.notify: {
        const notification = parsePayload(frame) as Notification;
        if (notification.event !== 'replicas') return;
        this.#isAccepted = true;
        this.#ready = notification.ready;
        this.#listener.onReplicas();
        return;
      }
      case FrameType.goaway:
        throw new ChannelError(
          'CHANNEL_CLOSED',
          `node ${this.#options.peerNodeId} closed the link: ${(parsePayload(frame) as GoAway).reason}`,
        );
      default:
        this.#streams.receive(frame);
    }
  }

  #beat(): void {
    const silentMs = performance.now() - this.#lastHeardMs;
    if (silentMs > LINK_SILENCE_MS) {
      const message = `node ${this.#options.peerNodeId} was silent for ${Math.round(silentMs)} ms`;
      this.#connection.destroy(new ChannelError('CHANNEL_TIMEOUT', message));
      return;
    }
    if (this.#isAccepted) this.#connection.send(FrameType.ping, 0, 0, Buffer.alloc(8));
  }

  #lose(error: Error | null): void {
    clearInterval(this.#pulse);
    this.#isAccepted = false;
    this.#ready = [];
    this.#streams.loseAll();
    this.#listener.onClose(error);
  }
}
