import type { Log } from '../log.ts';
import { LiveTls } from './live-tls.ts';
import type { TlsFiles } from './pem-files.ts';

/** Where the certificates of a node lie; null: such connections are plain. Plain JSON, for the processes of the node. */
export interface NodeTlsFiles {
  /** links, content and the store; both ends show a certificate of the cluster */
  readonly nodes: TlsFiles | null;
  /** HTTP of routes and of the admin API; clients show none */
  readonly clients: TlsFiles | null;
}

export const PLAIN_FILES: NodeTlsFiles = { nodes: null, clients: null };

/** The certificates of a node, as each of its processes uses them. */
export class NodeTls {
  /** no connection is encrypted */
  static readonly plain = new NodeTls(null, null);

  readonly nodes: LiveTls | null;
  readonly clients: LiveTls | null;

  /** @throws ServeError TLS_FILE */
  static async open({ nodes, clients }: NodeTlsFiles): Promise<NodeTls> {
    return new NodeTls(
      nodes === null ? null : await LiveTls.open(nodes),
      clients === null ? null : await LiveTls.open(clients),
    );
  }

  /**
   * For processes that a node starts, and starts anew: a certificate that has ended since the node looked at it keeps none of
   * them from serving those who do not mind.
   * @throws ServeError TLS_FILE
   */
  static async resume({ nodes, clients }: NodeTlsFiles): Promise<NodeTls> {
    return new NodeTls(
      nodes === null ? null : await LiveTls.open(nodes, null),
      clients === null ? null : await LiveTls.open(clients, null),
    );
  }

  private constructor(nodes: LiveTls | null, clients: LiveTls | null) {
    this.nodes = nodes;
    this.clients = clients;
  }

  /** Follows the files from now on. Idempotent. */
  start(log: Log): void {
    this.nodes?.start(log);
    this.clients?.start(log);
  }

  /** Takes what the files hold now: see LiveTls.refresh. */
  async refresh(log: Log): Promise<void> {
    await Promise.all([this.nodes?.refresh(log), this.clients?.refresh(log)]);
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([this.nodes?.stop(), this.clients?.stop()]);
  }
}
