import { createServer, type Server, type Socket } from 'node:net';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { createTlsServer, Strangers } from '../lib/tls/tls-server.ts';
import { FrameConnection } from './connection.ts';
import { parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import { LINK_PING_MS, LINK_SILENCE_MS } from './link.ts';
import { isLinkMac, type LinkHandshake, linkMac, linkNonce } from './link-auth.ts';
import type { GoAway, LinkChallenge, LinkHello, LinkProof, Notification, ReadyReplica } from './messages.ts';
import { type RequestHandler, ServerStreams } from './server-streams.ts';

/** Connections that have not shown a certificate yet, and those that have not proved the key: of more the oldest is cut. */
const MAX_STRANGERS = 64;
const HANDSHAKE_MS = 3_000;

export interface LinkServerOptions {
  readonly nodeId: string;
  readonly linkKey: string;
  /** the certificate of this node; null: links are plain */
  readonly tls: LiveTls | null;
}

/** What the node behind the listener does for other nodes. */
export interface LinkService {
  /** replicas of this node that can serve now */
  ready(): readonly ReadyReplica[];
  readonly onRequest: RequestHandler;
}

/** A node's TCP listener: lets in who proves the link key, and hands their requests to the service. */
export class LinkServer {
  readonly #options: LinkServerOptions;
  readonly #service: LinkService;
  readonly #server: Server;
  readonly #connections = new Set<AcceptedLink>();
  /** whose certificate has not been seen; null: there are none */
  readonly #strangers: Strangers | null;

  constructor(options: LinkServerOptions, service: LinkService) {
    this.#options = options;
    this.#service = service;
    const { tls } = options;
    const accept = (socket: Socket): void => this.#accept(socket);
    if (tls === null) {
      this.#server = createServer(accept);
      this.#strangers = null;
    } else {
      const server = createTlsServer(tls, accept, { handshakeTimeout: HANDSHAKE_MS });
      this.#server = server;
      this.#strangers = new Strangers(server, MAX_STRANGERS);
    }
  }

  /**
   * @param port 0: any free one
   * @returns the port it listens on
   * @throws the listen error of node:net (EADDRINUSE, EADDRNOTAVAIL, EACCES)
   */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', reject);
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Tells every open link what is ready now. */
  announce(): void {
    const ready = this.#service.ready();
    for (const link of this.#connections) link.announce(ready);
  }

  /** Stops listening and cuts every link. Idempotent. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const link of [...this.#connections]) link.close();
    this.#strangers?.cut();
    await closed;
  }

  #accept(socket: Socket): void {
    const unproved = [...this.#connections].filter((other) => !other.isAccepted);
    const [oldest] = unproved;
    if (unproved.length >= MAX_STRANGERS && oldest !== undefined) {
      this.#connections.delete(oldest);
      oldest.close();
    }
    const link: AcceptedLink = new AcceptedLink(socket, {
      ...this.#options,
      service: this.#service,
      onClose: () => this.#connections.delete(link),
    });
    this.#connections.add(link);
  }
}

interface AcceptedOptions extends LinkServerOptions {
  readonly service: LinkService;
  readonly onClose: () => void;
}

/** The answering end of one link. */
class AcceptedLink {
  readonly #options: AcceptedOptions;
  readonly #connection: FrameConnection;
  readonly #streams: ServerStreams;
  readonly #watch: NodeJS.Timeout;
  #handshake: LinkHandshake | null = null;
  #isAccepted = false;
  #lastHeardMs = performance.now();

  constructor(socket: Socket, options: AcceptedOptions) {
    this.#options = options;
    this.#connection = new FrameConnection(socket, {
      onFrame: (frame) => this.#receive(frame),
      onClose: () => {
        clearInterval(this.#watch);
        this.#streams.cancelAll();
        options.onClose();
      },
    });
    this.#streams = new ServerStreams(this.#connection, options.service.onRequest);
    this.#watch = setInterval(() => {
      const allowedMs = this.#isAccepted ? LINK_SILENCE_MS : HANDSHAKE_MS;
      if (performance.now() - this.#lastHeardMs > allowedMs) this.#connection.destroy();
    }, LINK_PING_MS);
  }

  get isAccepted(): boolean {
    return this.#isAccepted;
  }

  announce(ready: readonly ReadyReplica[]): void {
    if (!this.#isAccepted) return;
    this.#connection.sendJson(FrameType.notify, 0, 0, { event: 'replicas', ready } satisfies Notification);
  }

  close(): void {
    this.#connection.destroy();
  }

  #receive(frame: Frame): void {
    if (!this.#isAccepted) {
      if (frame.type !== FrameType.hello) {
        throw new ChannelError(
          'CHANNEL_PROTOCOL',
          `frame of type ${frame.type} before the handshake was done`,
        );
      }
      // the silence that is allowed counts from the start until then: a stranger does not prolong it
      if (this.#handshake === null) this.#challenge(parsePayload(frame) as LinkHello);
      else this.#verify(parsePayload(frame) as LinkProof, this.#handshake);
      return;
    }
    this.#lastHeardMs = performance.now();
    if (frame.type === FrameType.ping) this.#connection.send(FrameType.pong, 0, 0, frame.payload);
    else this.#streams.receive(frame);
  }

  #challenge(hello: LinkHello): void {
    const { nodeId, linkKey } = this.#options;
    if (hello.protocol !== PROTOCOL_VERSION || hello.role !== 'link') {
      const reason = `this node speaks protocol ${PROTOCOL_VERSION} on links, the connector ${hello.protocol} as ${hello.role}`;
      this.#connection.sendJson(FrameType.goaway, 0, 0, { reason } satisfies GoAway);
      this.#connection.end();
      return;
    }
    this.#handshake = {
      connectorNode: hello.node,
      connectorNonce: hello.nonce,
      answererNode: nodeId,
      answererNonce: linkNonce(),
    };
    const challenge: LinkChallenge = {
      protocol: PROTOCOL_VERSION,
      role: 'ingress',
      node: nodeId,
      nonce: this.#handshake.answererNonce,
      link_mac: linkMac(linkKey, 'answer', this.#handshake),
    };
    this.#connection.sendJson(FrameType.hello, 0, 0, challenge);
  }

  #verify(proof: LinkProof, handshake: LinkHandshake): void {
    if (!isLinkMac(linkMac(this.#options.linkKey, 'connect', handshake), proof.link_mac)) {
      throw new ChannelError('CHANNEL_AUTH', `node ${handshake.connectorNode} does not hold the link key`);
    }
    this.#isAccepted = true;
    this.#lastHeardMs = performance.now();
    this.announce(this.#options.service.ready());
  }
}
