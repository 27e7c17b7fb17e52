/** Why a deployment may have nothing ready: decides whether the ingress holds a request or answers 503 at once. */
export type Availability =
  | { readonly state: 'expected' } // was ready before, or a replica is on its way after it was: hold within queue and deadline
  | { readonly state: 'starting'; readonly message: string } // never ready so far: 503 at once
  | { readonly state: 'unplaced'; readonly message: string }
  | { readonly state: 'failed'; readonly message: string }
  | { readonly state: 'crash-looping'; readonly message: string };

/** A replica that may serve; whether it can, its channel says. */
export interface Endpoint {
  readonly replicaId: string;
  readonly nodeId: string;
}

export interface DeploymentRoute {
  readonly deployment: string;
  readonly route: string;
  readonly methods: readonly string[];
  readonly maxQueuedRequests: number;
  readonly requestTimeoutMs: number;
  readonly retries: number;
  /** see DeploymentSpec: whether tracebacks of user code go to clients */
  readonly exposeErrors: 'always' | 'never' | 'loopback';
  /** see DeploymentSpec: the keys that the route asks for, and how often one may call */
  readonly apiKeys: string | null;
  readonly apiRatePerS: number;
  readonly availability: Availability;
  readonly endpoints: readonly Endpoint[];
}

export interface NodeAddress {
  readonly nodeId: string;
  readonly host: string;
  readonly linkPort: number;
}

/** What every ingress needs. Versions compare only within one incarnation. */
export interface RoutingTable {
  readonly version: number;
  readonly epoch: number;
  readonly incarnation: string;
  readonly revision: number;
  readonly maxBodyBytes: number;
  /** `[MODEL SERVE] port`: what an ingress listens on unless its node was told otherwise */
  readonly port: number;
  /** `[MODEL SERVE] ingress_processes`: how many processes of an ingress share the port */
  readonly ingressProcesses: number;
  /** `[MODEL SERVE] metrics_open`; not there: a table of before an upgrade */
  readonly metricsOpen?: boolean;
  /** `[MODEL SERVE] access_log`; not there: a table of before an upgrade */
  readonly accessLog?: boolean;
  readonly deployments: readonly DeploymentRoute[];
  readonly nodes: readonly NodeAddress[];
}
