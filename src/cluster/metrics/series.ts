import type { Outcome } from './outcomes.ts';

/** A value for each point of time, `null` where nothing was measured. */
export type Points = readonly (number | null)[];

/** What `GET /api/v1/series` answers. Every list has as many points as `atMs`. */
export interface Series {
  /** of a step, a multiple of 10 */
  readonly stepS: number;
  /** when each step began, ms since 1970 */
  readonly atMs: readonly number[];
  /** all deployments together; null where it was not asked for */
  readonly total: DeploymentSeries | null;
  /** by name */
  readonly deployments: Readonly<Record<string, DeploymentSeries>>;
  /** by node id */
  readonly nodes: Readonly<Record<string, NodeSeries>>;
}

/** Rates are per second; latencies are those of all answers, seconds are not used here but ms. */
export interface DeploymentSeries {
  /** all that ended, however */
  readonly requestsPerS: Points;
  /** by how they ended; outcomes that did not occur in all the time are left out */
  readonly outcomesPerS: Readonly<Partial<Record<Outcome, Points>>>;
  /** of a step of more than 10 s: the mean of its tens of seconds, weighted by their requests */
  readonly p50Ms: Points;
  readonly p95Ms: Points;
  readonly p99Ms: Points;
  /** how long requests waited for a free replica, of those that reached one; put together as the percentiles above */
  readonly queueP50Ms: Points;
  readonly queueP95Ms: Points;
  /** how long calls were in user code, those of a batch as long as the batch; put together likewise */
  readonly userCodeP50Ms: Points;
  readonly userCodeP95Ms: Points;
  /** calls in a batch, on average; null where there was none */
  readonly batchSize: Points;
  /** requests that waited for a replica */
  readonly queued: Points;
  /** requests at replicas */
  readonly inFlight: Points;
  readonly readyReplicas: Points;
}

export interface NodeSeries {
  /** busy share of all its CPUs, 0 to 1 */
  readonly cpu: Points;
  readonly memoryUsedBytes: Points;
  /** by index of the GPU */
  readonly gpus: Readonly<Record<string, GpuSeries>>;
}

export interface GpuSeries {
  /** the share that replicas hold, 0 to 1 */
  readonly held: Points;
  /** what the driver says it is busy, 0 to 1 */
  readonly busy: Points;
  readonly memoryUsedBytes: Points;
}

/** How the cluster did in the time since the tick before: what `live` says every few seconds. */
export interface MetricTick {
  readonly atMs: number;
  /** how long this tick covers */
  readonly coversMs: number;
  readonly deployments: readonly DeploymentTick[];
  readonly nodes: readonly NodeTick[];
}

export interface DeploymentTick {
  readonly name: string;
  readonly requestsPerS: number;
  /** those that say that something is wrong here: application errors, 429, 500 to 504 */
  readonly failuresPerS: number;
  /** null where nothing was answered */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly queued: number;
  readonly inFlight: number;
  readonly readyReplicas: number;
}

export interface NodeTick {
  readonly node: string;
  /** busy share of all its CPUs, 0 to 1; null before the second look */
  readonly cpu: number | null;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
  readonly gpus: readonly GpuTick[];
}

export interface GpuTick {
  readonly index: number;
  /** share that replicas hold, 0 to 1 */
  readonly held: number;
  /** null: the driver does not say */
  readonly busy: number | null;
  readonly memoryUsedBytes: number | null;
  readonly memoryTotalBytes: number;
}
