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
    readonly password: string | null;
    /** it speaks TLS with the certificates of the cluster */
    readonly tls: boolean;
  } | null;
  readonly linkKey: string;
  readonly tls: NodeTlsFiles;
  /** bearer key for `/-/metrics` */
  readonly metricsKey: string;
  /** null: no spans are made */
  readonly tracing: TracingSettings | null;
}
