import type { Readable } from 'node:stream';
import type { EnvironmentSample, NodeSample } from '../cluster/metrics/samples.ts';
import type { MetricTick, Series } from '../cluster/metrics/series.ts';
import type { RotationPhase } from '../cluster/rotation/types.ts';
import type { ClusterSettings, PlannedChange } from '../cluster/spec/types.ts';
import type { ModelsDocument } from '../cluster/status/models-document.ts';
import type {
  DeploymentStatus,
  GpuStatus,
  ModelFetch,
  NodeStatus,
  Progress,
  ReplicaDetail,
  RevisionSummary,
  StatusDocument,
} from '../cluster/status/types.ts';
import type { PlacedFinding } from '../config/finding.ts';
import type { LogComponent } from '../config/paths.ts';
import type { Manifest } from '../lib/content/manifest.ts';
import type { ClusterEvent } from '../store/types.ts';
import type { LogExtent } from '../telemetry/node-logs.ts';

/** A mistake or warning, rendered for a person; clients print it as it is. */
export type RenderedFinding = string;

export interface Mistaken {
  readonly ok: false;
  readonly mistakes: readonly RenderedFinding[];
  readonly warnings: readonly RenderedFinding[];
}

export interface PlanAnswer {
  readonly ok: true;
  readonly changes: readonly PlannedChange[];
  /** what changes in `[MODEL SERVE]` */
  readonly settings: PlannedChange['differences'];
  readonly warnings: readonly RenderedFinding[];
}

export interface ApplyAnswer {
  readonly ok: true;
  readonly outcome: 'recorded' | 'unchanged';
  readonly revision: number;
  readonly changes: readonly PlannedChange[];
  readonly settings: PlannedChange['differences'];
  readonly deployments: readonly string[];
  readonly warnings: readonly RenderedFinding[];
}

/** What is to be applied: a conf.ini that the head sees, or one that was uploaded with its project. */
export interface ApplySource {
  /** as whoever applies it calls it */
  readonly confPath: string;
  /** names an upload; null: confPath is a path on the head's machine */
  readonly upload: string | null;
}

/** How a file looks from a machine: when it looks the same from another, both see the same disk. */
export interface FileLook {
  /** absolute */
  readonly path: string;
  /** inode, size and times */
  readonly identity: string;
  readonly sha256: string;
}

export interface UploadOffer {
  readonly upload: string;
  /** what the head does not have yet, and how much of it */
  readonly missing: readonly {
    readonly sha256: string;
    readonly sizeBytes: number;
    readonly heldBytes: number;
  }[];
}

/** Takes projects from machines whose disk the head does not see. */
export interface UploadDesk {
  /** whether the head sees this very file at this path */
  sees(file: FileLook): Promise<boolean>;
  offer(files: Manifest): Promise<UploadOffer>;
  /** @returns how much of the file is here now */
  receive(
    upload: string,
    part: { readonly sha256: string; readonly offset: number },
    bytes: Readable,
  ): Promise<number>;
}

/** What the admin API needs of the cluster's controller; roles/ puts the two together. */
export interface AdminBackend {
  status(): Promise<StatusDocument>;
  /** @throws ServeError REPLICA_UNKNOWN */
  replica(id: string): Promise<ReplicaAbout>;
  /** @param signal the caller has gone */
  plan(source: ApplySource, signal: AbortSignal): Promise<PlanAnswer | Mistaken>;
  /** @param signal the caller has gone: what is being fetched ends, and nothing is changed */
  apply(source: ApplySource, signal: AbortSignal): Promise<ApplyAnswer | Mistaken>;
  /** models that are being fetched from servers for applies */
  fetches(): readonly ModelFetch[];
  /**
   * Models that a node keeps, and what is on its way.
   * @param node its id; null: this head, and what is on its way in the whole cluster
   * @throws ServeError NODE_UNKNOWN, NODE_SILENT
   */
  models(node: string | null): Promise<ModelsDocument>;
  progress(asked: { readonly revision: number; readonly deployments: readonly string[] }): Progress;
  events(afterId: string | null, limit: number): Promise<readonly ClusterEvent[]>;
  /** stops every node of the cluster, this one last; resolves when the others have left */
  stopCluster(): Promise<{ readonly left: readonly string[] }>;
  /**
   * Drains one node and ends it; resolves when it has left. Its replicas are started elsewhere first where they can be.
   * @throws ServeError NODE_UNKNOWN, NODE_SILENT
   */
  stopNode(node: string): Promise<{ readonly left: readonly string[] }>;
}

/** What a replica has of a GPU, and what it uses. */
export interface ReplicaGpu {
  readonly replica: string;
  readonly deployment: string;
  /** of the GPU that it holds, 0 to 1; 0: it uses one that it has no share of */
  readonly fraction: number;
  /** what its share comes to; null: not known */
  readonly memory_share_bytes: number | null;
  /** by all its processes; null: the driver does not say */
  readonly memory_used_bytes: number | null;
  /** the share of the last second in which its kernels ran, 0 to 1; null: the driver does not say */
  readonly busy: number | null;
}

/** A GPU with what is on it. */
export interface GpuDetail extends GpuStatus {
  readonly node: string;
  /** null: declared, or its node has not answered */
  readonly memory_bytes: number | null;
  /** by all programs; null: the driver does not say */
  readonly memory_used_bytes: number | null;
  /** 0 to 1; null: the driver does not say */
  readonly busy: number | null;
  readonly replicas: readonly ReplicaGpu[];
}

/** A replica with what it was started from. */
export interface ReplicaAbout extends ReplicaDetail {
  readonly deployment: string;
  readonly package: { readonly name: string; readonly hash: string };
  /** class */
  readonly backend: string;
  /** as its section asks for it */
  readonly python: string | null;
  /** as its section asks for it; null: the package's files decide */
  readonly environment: string | null;
  /** names of the environment variables that its section sets: values may be secret */
  readonly variables: readonly string[];
  readonly models: readonly {
    readonly name: string;
    readonly size_bytes: number;
    /** null: it is fetched while it is loaded */
    readonly sha256: string | null;
  }[];
}

/** What somebody wants to see of what was written in the cluster. */
export type LogQuery = {
  /** null: of all nodes */
  readonly node: string | null;
} & (
  | ({
      /** what user code prints, as it is; lines begin with the replica's id where there are several */
      readonly of: 'replicas';
      readonly deployment: string;
      /** null: all of the deployment's */
      readonly replicaId: string | null;
    } & LogExtent)
  | ({
      /** lines of JSON of a part of the framework, each with its node; in the order of their times unless they are followed */
      readonly of: 'component';
      readonly component: LogComponent;
      /** null: from any time */
      readonly sinceMs: number | null;
    } & LogExtent)
  | {
      /** what ingresses and replicas wrote of one request */
      readonly of: 'request';
      readonly requestId: string;
      /** null: any */
      readonly deployment: string | null;
      /** null: from any time; lines of replicas, which bear none, are all there */
      readonly sinceMs: number | null;
    }
);

/** What was written in the cluster, wherever that was. */
export interface LogSource {
  /** Nothing of a deployment that has written nothing yet. @throws ServeError LOG_NOT_FOUND when there is no such node, deployment or replica */
  open(query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<string>>;
}

export interface RevisionDetail extends RevisionSummary {
  readonly confText: string;
  readonly settings: ClusterSettings;
}

/** What going from one revision to another changes. */
export interface RevisionDiff {
  readonly from: number;
  readonly to: number;
  readonly changes: readonly PlannedChange[];
  readonly settings: PlannedChange['differences'];
}

export interface Validation {
  readonly ok: boolean;
  /** by line */
  readonly findings: readonly PlacedFinding[];
}

/** A change to what is in force that comes as a conf.ini's text, or as the number of a revision to go back to. */
export interface RevisionEdit {
  /** the newest revision as whoever edits knows it; null: whatever it is. Another one by now: REVISION_MOVED */
  readonly base: number | null;
  readonly change:
    | { readonly kind: 'edited'; readonly text: string }
    | { readonly kind: 'rollback'; readonly of: number };
}

/** Revisions: what was applied, how two of them differ, and new ones from old ones or from edited text. */
export interface RevisionDesk {
  /** newest first */
  list(): Promise<readonly RevisionSummary[]>;
  /** @throws ServeError REVISION_UNKNOWN */
  read(number: number): Promise<RevisionDetail>;
  /** @throws ServeError REVISION_UNKNOWN */
  diff(from: number, to: number): Promise<RevisionDiff>;
  /** a conf.ini's text as if it stood where the newest revision's does */
  validate(text: string): Promise<Validation>;
  /** what it would change */
  plan(edit: RevisionEdit, signal: AbortSignal): Promise<PlanAnswer | Mistaken>;
  /** @throws ServeError REVISION_MOVED, REVISION_UNKNOWN, REVISION_INCOMPLETE, CONF_ELSEWHERE */
  apply(edit: RevisionEdit, signal: AbortSignal): Promise<ApplyAnswer | Mistaken>;
}

/** The cluster's token without the token itself, which no API tells. */
export interface TokenState {
  readonly cluster: string;
  /** id of the token that the head shows; no secret */
  readonly id: string;
  /** where it lies on the head */
  readonly file: string;
  /** `given`: the password of the store is its owner's, and stays */
  readonly store: 'own' | 'given';
  /** its replacement that is under way, or was the last; null: there was none */
  readonly rotation: {
    readonly from: string;
    readonly to: string;
    /** null: it has ended */
    readonly phase: RotationPhase | null;
    /** why it goes back, or went; null: it does not */
    readonly reason: string | null;
    readonly startedAt: string;
    /** nodes that are there, and whether they have followed the phase */
    readonly nodes: readonly { readonly node: string; readonly done: boolean }[];
  } | null;
}

/** The replacement of the cluster's token. */
export interface TokenDesk {
  read(): Promise<TokenState>;
  /**
   * Begins it.
   * @param timeoutMs how long live nodes may take to follow a phase before all go back
   * @throws ServeError ROTATION_RUNS, ROTATION_REFUSED, NOT_LEADER
   */
  rotate(timeoutMs: number): Promise<TokenState>;
  /** Goes back to the old one. @throws ServeError ROTATION_REFUSED, NOT_LEADER */
  cancel(): Promise<TokenState>;
}

/** An environment that a node has built, or builds. */
export interface EnvironmentDetail extends EnvironmentSample {
  readonly node: string;
}

export interface EnvironmentList {
  readonly environments: readonly EnvironmentDetail[];
  /** nodes that did not answer */
  readonly silent: readonly string[];
}

export interface SeriesQuery {
  /** names; null: all */
  readonly deployments: readonly string[] | null;
  /** node ids; null: all */
  readonly nodes: readonly string[] | null;
  /** all deployments together as well */
  readonly total: boolean;
  readonly fromMs: number;
  readonly toMs: number;
  /** null: as fine as 360 points allow */
  readonly stepS: number | null;
}

/** What was measured of the whole cluster. */
export interface Measurements {
  /** what nodes say of themselves, as they answered last */
  readonly samples: readonly NodeSample[];
  series(query: SeriesQuery): Series;
  /** @param node its id; null: of all nodes */
  environments(node: string | null): Promise<EnvironmentList>;
  /** the text of `/metrics` */
  exposition(): Promise<string>;
  /** whether `/metrics` is for everybody */
  readonly isOpen: boolean;
}

/** One message of `GET /api/v1/live`. */
export type LiveMessage =
  /** all of it: the first message, and again where too much was missed */
  | { readonly id: string; readonly event: 'status'; readonly data: StatusDocument }
  | { readonly id: string; readonly event: 'changes'; readonly data: StatusChanges }
  | { readonly id: string; readonly event: 'event'; readonly data: ClusterEvent }
  | { readonly id: string; readonly event: 'tick'; readonly data: MetricTick };

/** What is not as the status before had it: whole nodes and deployments, and the names of those that are gone. */
export interface StatusChanges {
  readonly leader: string | null;
  readonly revision: number;
  readonly store: StatusDocument['store'];
  readonly token_rotation: StatusDocument['token_rotation'];
  readonly nodes: readonly NodeStatus[];
  readonly deployments: readonly DeploymentStatus[];
  readonly goneNodes: readonly string[];
  readonly goneDeployments: readonly string[];
}

export interface LiveSource {
  /**
   * Goes on until the signal.
   * @param afterId of the last message that was received; null: from the whole status on
   */
  open(afterId: string | null, signal: AbortSignal): Promise<AsyncIterable<LiveMessage>>;
}

/** What a deployment answered to a request that a person tried. */
export interface TrialAnswer {
  readonly httpStatus: number;
  readonly contentType: string;
  /** its header: seconds, or a date; null: it has none */
  readonly retryAfter: string | null;
  /** its beginning; null: it is no text */
  readonly text: string | null;
  /** there is more than is given */
  readonly isCut: boolean;
  /** of all of it; null: it is cut, and has not said how long it is */
  readonly sizeBytes: number | null;
  readonly tookMs: number;
}
