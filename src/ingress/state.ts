import type { TotalLoad } from './load.ts';

/** One process of an ingress, as its main process knows it. */
export interface IngressProcessState {
  readonly pid: number;
  /** a helper that leaves takes no connections any more, and ends with its last one */
  readonly phase: 'main' | 'starting' | 'serving' | 'leaving';
  readonly connections: number;
  readonly open: number;
  readonly inFlight: number;
  readonly queued: number;
}

/** What `GET /state` on the control socket answers: agent and admin read it. Loads are of all processes together. */
export interface IngressState extends TotalLoad {
  /** of the main process */
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
  /** the main one first */
  readonly processes: readonly IngressProcessState[];
}
