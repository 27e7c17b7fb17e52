import type { NodeTlsFiles } from '../lib/tls/node-tls.ts';
import type { NodeSecrets } from './token.ts';
import type { TracingSettings } from './tracing-settings.ts';

/** What the agent tells an ingress process at its start: a JSON file of mode 0600, since it holds secrets. */
export interface IngressLaunch {
  readonly nodeId: string;
  readonly clusterId: string;
  /** modelserve's own */
  readonly version: string;
  /** for HTTP and links */
  readonly host: string;
  /** null: the routing table names it */
  readonly httpPort: number | null;
  /** this node was told its port: the routing table does not change it */
  readonly httpPortFixed: boolean;
  /** 0: any; the one of the last run lets other nodes find this one at once */
  readonly linkPort: number;
  readonly stateDir: string;
  /** null: serves by the saved routing table alone */
  readonly store: {
    readonly url: string;
    /** it is the cluster's own: the passwords are those of `secrets` */
    readonly isOwn: boolean;
    /** it speaks TLS with the certificates of the cluster */
    readonly tls: boolean;
  } | null;
  /** at the start; the agent tells a running one of others */
  readonly secrets: NodeSecrets;
  readonly tls: NodeTlsFiles;
  /** null: no spans are made */
  readonly tracing: TracingSettings | null;
}
