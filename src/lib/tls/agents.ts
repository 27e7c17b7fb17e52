import { Agent, buildConnector } from 'undici';
import type { LiveTls } from './live-tls.ts';
import type { NodeTls } from './node-tls.ts';

/**
 * Connections of this node to the HTTP ports of its cluster: what is shown there must be a certificate of the cluster, or
 * the very one that this node was given. Names are not compared: nodes are asked by their address, and a given certificate is
 * for the name that clients know.
 */
export function ownRoutesAgent({ clients, nodes }: NodeTls): Agent {
  if (clients === null) return new Agent();
  return new Agent({
    connect: (options, callback) => {
      const ca = [clients.certificate, nodes?.authorities ?? []].flat();
      const connect = buildConnector({
        ...{ ca, allowPartialTrustChain: true },
        checkServerIdentity: () => undefined,
      });
      connect(options, callback);
    },
  });
}

/** What a node's `HOST:PORT` is asked by. */
export function nodeUrl(tls: LiveTls | null, address: string): string {
  return `${tls === null ? 'http' : 'https'}://${address}`;
}

/**
 * Connections to other nodes.
 * @param tls null: plain
 */
export function nodesAgent(
  tls: LiveTls | null,
  { connectTimeout, ...options }: Agent.Options & { readonly connectTimeout: number },
): Agent {
  if (tls === null) return new Agent({ ...options, connectTimeout });
  return new Agent({
    ...options,
    connect: (target, callback) => {
      // Made anew each time: the certificate may be another by now.
      buildConnector({ ...tls.clientOptions, timeout: connectTimeout })(target, callback);
    },
  });
}
