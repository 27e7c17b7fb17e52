import type { NodeSecrets } from '../config/token.ts';
import type { TracingSettings } from '../config/tracing-settings.ts';
import type { NodeTlsFiles } from '../lib/tls/node-tls.ts';

/** The JSON file (mode 0600) that an ingress process is started with. */
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
  readonly secrets: NodeSecrets;
  readonly tls: NodeTlsFiles;
  /** null: no spans are made */
  readonly tracing: TracingSettings | null;
}
