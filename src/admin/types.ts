import type { Readable } from 'node:stream';
import type { PlannedChange } from '../cluster/spec/types.ts';
import type { ModelsDocument } from '../cluster/status/models-document.ts';
import type { ModelFetch, Progress, StatusDocument } from '../cluster/status/types.ts';
import type { Manifest } from '../lib/content/manifest.ts';
import type { ClusterEvent } from '../store/types.ts';

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
  /** @param signal the caller has gone */
  plan(source: ApplySource, signal: AbortSignal): Promise<PlanAnswer | Mistaken>;
  /** @param signal the caller has gone: what is being fetched ends, and nothing is changed */
  apply(source: ApplySource, signal: AbortSignal): Promise<ApplyAnswer | Mistaken>;
  /** models that are being fetched from servers for applies */
  fetches(): readonly ModelFetch[];
  /** models that this head keeps, and what is on its way in the cluster */
  models(): Promise<ModelsDocument>;
  progress(asked: { readonly revision: number; readonly deployments: readonly string[] }): Progress;
  events(afterId: string | null, limit: number): Promise<readonly ClusterEvent[]>;
  /** stops every node of the cluster, this one last; resolves when the others have left */
  stopCluster(): Promise<{ readonly left: readonly string[] }>;
}

export interface LogQuery {
  readonly deployment: string;
  /** null: all its replicas, each line prefixed with the replica's id when there are several */
  readonly replicaId: string | null;
  readonly lines: number;
  readonly follow: boolean;
}

/** Output of replicas, wherever they run. */
export interface LogSource {
  /** @throws ServeError LOG_NOT_FOUND when no such deployment or replica has a log */
  open(query: LogQuery, signal: AbortSignal): Promise<AsyncIterable<string>>;
}
