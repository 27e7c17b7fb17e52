import type { Casualty } from '../cluster/replicas/types.ts';
import type { DeploymentCounts } from './deployment-queue.ts';

/** What `GET /state` on the control socket answers: agent and admin read it. */
export interface IngressState {
  readonly pid: number;
  readonly nodeId: string;
  readonly version: string;
  readonly host: string;
  /** it listens wherever it shall; false while it is on the way there, or about to end because it cannot */
  readonly started: boolean;
  /** null until it listens: no port was given, and no routing table has named one yet */
  readonly httpPort: number | null;
  readonly linkPort: number;
  /** why it does not listen where the routing table says; null where it does */
  readonly listenProblem: string | null;
  /** -1 and '' before the first table */
  readonly routingVersion: number;
  readonly incarnation: string;
  readonly draining: boolean;
  /** requests that are not over, of clients of this ingress */
  readonly open: number;
  readonly inFlight: number;
  readonly queued: number;
  /** bytes of request bodies that are kept for another try */
  readonly keptBytes: number;
  readonly deployments: readonly DeploymentCounts[];
  /** requests given up because replicas died with them, oldest first */
  readonly poison: readonly Casualty[];
}
