import type { NodeRole } from '../nodes/types.ts';
import type { ReplicaPhase } from '../replicas/types.ts';
import type { DeploymentHealth } from '../rollout/types.ts';
import type { RotationPhase } from '../rotation/types.ts';
import type { RevisionOrigin } from '../spec/types.ts';

/** What `modelserve status --json` prints and the admin API answers. Field names are part of the interface. */
export interface StatusDocument {
  readonly version: 1;
  readonly cluster: string;
  /** node id of the leader, null while there is none */
  readonly leader: string | null;
  /** the newest revision, 0 before the first apply */
  readonly revision: number;
  readonly store: { readonly kind: string; readonly ok: boolean };
  /** the token is being replaced; null: it is not, or the head that was asked does not lead */
  readonly token_rotation: TokenRotationStatus | null;
  readonly nodes: readonly NodeStatus[];
  readonly deployments: readonly DeploymentStatus[];
}

export interface TokenRotationStatus {
  readonly phase: RotationPhase;
  /** when the phase began */
  readonly since: string;
  /** why it goes back; null: it does not */
  readonly reason: string | null;
  /** live nodes that have not followed the phase */
  readonly waiting_for: readonly string[];
}

export interface NodeStatus {
  readonly id: string;
  readonly role: NodeRole;
  readonly hostname: string;
  readonly address: string;
  /** base URL of its ingress */
  readonly http: string;
  readonly alive: boolean;
  readonly draining: boolean;
  readonly cpus: number;
  readonly gpus: readonly GpuStatus[];
}

export interface GpuStatus {
  readonly index: number;
  readonly uuid: string;
  readonly name: string;
  readonly virtual: boolean;
  readonly usable: boolean;
  readonly reason: string | null;
  /** fraction that no replica holds, 0 to 1 */
  readonly free: number;
}

export interface DeploymentStatus {
  readonly name: string;
  readonly route: string;
  readonly methods: readonly string[];
  readonly status: DeploymentHealth;
  /** revision that is wanted, and the one that serves (null: none does) */
  readonly revision: number | null;
  readonly serving_revision: number | null;
  readonly target: number;
  readonly ready: number;
  readonly message: string;
  /** traceback of the last failed change, null when there is none */
  readonly error: string | null;
  readonly replicas: readonly ReplicaDetail[];
  /** the last requests that were given up because replicas died with them, newest first */
  readonly lost_requests: readonly LostRequest[];
}

export interface LostRequest {
  readonly request_id: string;
  readonly path: string;
  /** whose ingress had it */
  readonly node: string;
  /** replicas that died while they had it */
  readonly deaths: number;
  readonly at: string;
}

export interface ReplicaDetail {
  readonly id: string;
  readonly node: string;
  readonly pid: number | null;
  readonly phase: ReplicaPhase;
  /** when the phase began; null: not told */
  readonly since: string | null;
  readonly message: string;
  readonly revision: number;
  readonly gpus: readonly { readonly index: number; readonly uuid: string; readonly fraction: number }[];
  readonly restarts: number;
  readonly started_at: string | null;
  readonly error: string | null;
}

/** How far a revision is, for whoever waits for it. */
export interface Progress {
  readonly revision: number;
  /** a later revision has taken its place */
  readonly supersededBy: number | null;
  /** every deployment that the revision changed has ended, well or not, and every live ingress serves the outcome */
  readonly done: boolean;
  readonly deployments: readonly DeploymentProgress[];
  /** ingresses of live nodes that do not serve the newest routing table yet */
  readonly waitingFor: readonly string[];
}

export interface DeploymentProgress {
  readonly name: string;
  readonly status: DeploymentHealth | 'GONE';
  readonly settled: boolean;
  readonly failed: boolean;
  readonly target: number;
  readonly ready: number;
  readonly message: string;
  readonly error: string | null;
  /** something is under way that ends by itself (a build, a start within its time, a drain): `--timeout` does not count */
  readonly moving: boolean;
  /** what its replicas are doing, one line each */
  readonly replicas: readonly string[];
  /** what nodes prepare for it now: code, models, environments; one for each node */
  readonly preparing: readonly PreparationProgress[];
}

export interface PreparationProgress {
  readonly node: string;
  /** what was said last: `Collecting numpy`, `1.2 GB of 4 GB …` */
  readonly line: string;
  /** how long it has been at it */
  readonly forMs: number;
}

/** A model that the head fetches from a server for an apply. */
export interface ModelFetch {
  /** its URI, without the query */
  readonly model: string;
  readonly fetchedBytes: number;
  /** null: the server has not said how much there is */
  readonly totalBytes: number | null;
  readonly bytesPerSecond: number;
}

/** A revision in a list of them. */
export interface RevisionSummary {
  readonly number: number;
  /** ISO 8601 */
  readonly createdAt: string;
  /** where its conf.ini came from */
  readonly confPath: string;
  readonly origin: RevisionOrigin;
  readonly deployments: readonly string[];
  /** deployments that shall run as this revision has them, and have come that far */
  readonly inForce: readonly string[];
  readonly isNewest: boolean;
}
