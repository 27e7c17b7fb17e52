import { Link } from '../channel/link.ts';
import { Reconnector } from '../channel/reconnect.ts';
import type { NodeAddress } from '../cluster/routing/types.ts';
import { messageOf } from '../lib/errors.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import type { Log } from '../lib/log.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import type { Carrier } from './target.ts';

const CONNECT_TIMEOUT_MS = 3_000;
const MIN_RETRY_MS = 100;
const MAX_RETRY_MS = 2_000;

export interface NodeLinkOptions {
  readonly peer: NodeAddress;
  /** of this node */
  readonly nodeId: string;
  readonly linkKeys: LiveSecrets;
  readonly tls: LiveTls | null;
  /** uniform in [0, 1) */
  readonly random: () => number;
  readonly log: Log;
}

/** The link to another node's ingress, for as long as the routing table names replicas there. */
export class NodeLink {
  readonly #connection: Reconnector<Link>;
  #limits: ReadonlyMap<string, number> = new Map();
  #lastProblem = '';

  /** @param onChange what can be reached there has changed */
  constructor(options: NodeLinkOptions, onChange: () => void) {
    const { peer, nodeId, linkKeys, tls, random, log } = options;
    const { host, linkPort: port } = peer;
    this.#connection = new Reconnector(
      { minDelayMs: MIN_RETRY_MS, maxDelayMs: MAX_RETRY_MS, random },
      ({ opened, closed }) => {
        const link: Link = new Link(
          {
            address: { host, port },
            nodeId,
            peerNodeId: peer.nodeId,
            linkKeys,
            tls,
            timeoutMs: CONNECT_TIMEOUT_MS,
          },
          {
            onReplicas: () => {
              opened();
              if (this.#connection.current !== link) return; // another has taken its place
              this.#lastProblem = '';
              this.#limits = new Map(link.ready.map((ready) => [ready.replica, ready.max_ongoing]));
              onChange();
            },
            onClose: (error) => {
              const isCurrent = this.#connection.current === link;
              closed();
              if (!isCurrent) return;
              this.#limits = new Map();
              const problem = error === null ? 'the other side closed the link' : messageOf(error);
              // once for each new reason: it is tried again all the time
              if (problem !== this.#lastProblem) log.warn({ peer: peer.nodeId, problem }, 'link is down');
              this.#lastProblem = problem;
              onChange();
            },
          },
        );
        return link;
      },
    );
  }

  /** The way to one of its replicas. */
  carrier(replicaId: string): Carrier {
    const connection = this.#connection;
    // While a link that broke tells its requests, they must not be given to it again.
    const limitOf = () => (connection.current?.isOpen ? (this.#limits.get(replicaId) ?? 0) : 0);
    return {
      get limit() {
        return limitOf();
      },
      open(head, end, listener) {
        if (connection.current === null) {
          throw new RangeError(`replica ${replicaId} was chosen while its limit was 0`);
        }
        return connection.current.open(head, end, listener);
      },
    };
  }

  /**
   * Proves itself anew, by the key that is shown now: requests go over a new link, and the one before ends with the last
   * of those that are on it. Resolves when that is so, or the new one cannot be opened.
   */
  async renew(): Promise<void> {
    await this.#connection.renew((before) => before.retire());
  }

  /** Idempotent; requests that are on it are lost. */
  close(): void {
    this.#connection.stop();
  }
}
