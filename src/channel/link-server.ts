import { createServer, type Server, type Socket } from 'node:net';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { createTlsServer, Strangers } from '../lib/tls/tls-server.ts';
import { FrameConnection } from './connection.ts';
import { parsePayload } from './dial.ts';
import { ChannelError } from './errors.ts';
import { type Frame, FrameType, PROTOCOL_VERSION } from './frames.ts';
import { LINK_PING_MS, LINK_SILENCE_MS } from './link.ts';
import { type LinkHandshake, linkMac, linkNonce, provenKey } from './link-auth.ts';
import type { GoAway, LinkChallenge, LinkHello, LinkProof, Notification, ReadyReplica } from './messages.ts';
import { type RequestHandler, type RequestListener, ServerStreams } from './server-streams.ts';

/** Connections that have not shown a certificate yet, and those that have not proved the key: of more the oldest is cut. */
const MAX_STRANGERS = 64;
const HANDSHAKE_MS = 3_000;

export interface LinkServerOptions {
  readonly nodeId: string;
  readonly linkKeys: LiveSecrets;
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
  readonly #unfollow: () => void;

  constructor(options: LinkServerOptions, service: LinkService) {
    this.#options = options;
    this.#service = service;
    this.#unfollow = options.linkKeys.onChange(() => {
      for (const link of this.#connections) link.keysChanged();
    });
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
    this.#unfollow();
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
  /** that it was let in with; null before */
  #key: string | null = null;
  /** its key is accepted no more: it finishes what it has begun */
  #isRetired = false;
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
    this.#streams = new ServerStreams(
      this.#connection,
      (head, end, stream) => this.#serve(head, end, stream),
      () => this.#endIfDone(),
    );
    this.#watch = setInterval(() => {
      const allowedMs = this.isAccepted ? LINK_SILENCE_MS : HANDSHAKE_MS;
      if (performance.now() - this.#lastHeardMs > allowedMs) this.#connection.destroy();
    }, LINK_PING_MS);
  }

  get isAccepted(): boolean {
    return this.#key !== null;
  }

  announce(ready: readonly ReadyReplica[]): void {
    if (!this.isAccepted) return;
    this.#connection.sendJson(FrameType.notify, 0, 0, { event: 'replicas', ready } satisfies Notification);
  }

  close(): void {
    this.#connection.destroy();
  }

  /** Ends in order where its key is accepted no more: whoever has another has connected with that by now. */
  keysChanged(): void {
    if (this.#key === null || this.#options.linkKeys.all.includes(this.#key)) return;
    this.#isRetired = true;
    this.#endIfDone();
  }

  /** Once what ended the last request has been sent, too. */
  #endIfDone(): void {
    if (!this.#isRetired || !this.#streams.isIdle) return;
    setImmediate(() => {
      if (this.#streams.isIdle) this.#connection.end();
    });
  }

  #serve(...[head, end, stream]: Parameters<RequestHandler>): RequestListener {
    if (!this.#isRetired) return this.#options.service.onRequest(head, end, stream);
    stream.refuse('not_ready');
    return { onData: () => {}, onWindow: () => {}, onCancel: () => {} };
  }

  #receive(frame: Frame): void {
    if (!this.isAccepted) {
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
    const { nodeId, linkKeys } = this.#options;
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
      link_mac: linkMac(linkKeys.current, 'answer', this.#handshake),
    };
    this.#connection.sendJson(FrameType.hello, 0, 0, challenge);
  }

  #verify(proof: LinkProof, handshake: LinkHandshake): void {
    const mac = proof.link_mac;
    this.#key = provenKey(this.#options.linkKeys.all, 'connect', { handshake, mac });
    if (this.#key === null) {
      throw new ChannelError('CHANNEL_AUTH', `node ${handshake.connectorNode} does not hold the link key`);
    }
    this.#lastHeardMs = performance.now();
    this.announce(this.#options.service.ready());
  }
}
