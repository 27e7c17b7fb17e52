import { addHistograms, EMPTY_HISTOGRAM, type Histogram, since } from './histogram.ts';
import { OUTCOMES, type Outcome } from './outcomes.ts';
import { addSizes, NO_SIZES, type SizeHistogram, sizesSince } from './sizes.ts';

/** One deployment at one ingress. Counters since the ingress began; gauges are now. */
export interface DeploymentSample {
  readonly deployment: string;
  /** requests that are over, by how they ended */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** of bodies, of all requests that reached their end here */
  readonly requestBytes: SizeHistogram;
  readonly responseBytes: SizeHistogram;
  /** requests that were given to another replica after one died with them */
  readonly retries: number;
  /** requests that a replica had no room for and gave back */
  readonly refusals: number;
  /** from the head of the request to the last byte of its answer; not of those that were turned away or cancelled */
  readonly duration: Histogram;
  /** how long they waited for a free replica, of those that reached one */
  readonly wait: Histogram;
  /** from the replica's getting it to the last byte of its answer */
  readonly work: Histogram;
  /** the rest of their duration: reading the request, writing the answer */
  readonly own: Histogram;
  readonly inFlight: number;
  readonly queued: number;
  /** replicas that the ingress can reach and that say that they are ready */
  readonly ready: number;
}

/** One process of modelserve. */
export interface ProcessSample {
  readonly pid: number;
  readonly role: 'node' | 'ingress' | 'ingress-helper';
  /** CPU time of all its threads */
  readonly cpuS: number;
  readonly residentBytes: number;
  /** how long its event loop had something to do */
  readonly loopBusyS: number;
  /** how late timers were in the last 10 s, at most */
  readonly loopDelayS: number;
}

/** One ingress with all its processes. */
export interface IngressSample {
  /** its main process began: counters are from there */
  readonly startedAtMs: number;
  readonly processes: readonly ProcessSample[];
  readonly connections: number;
  /** requests whose path is no deployment's */
  readonly unrouted: number;
  readonly deployments: readonly DeploymentSample[];
}

/** A machine as its kernel shows it. */
export interface MachineSample {
  /** CPU time since boot: spent, and in all, of all its CPUs */
  readonly cpuBusyS: number;
  readonly cpuTotalS: number;
  readonly memoryUsedBytes: number;
  readonly memoryTotalBytes: number;
}

export interface GpuSample {
  readonly index: number;
  readonly uuid: string;
  /** 0 to 1; null: the driver does not say */
  readonly busy: number | null;
  readonly memoryUsedBytes: number | null;
  readonly memoryTotalBytes: number;
}

/** What a replica has, and uses, of a GPU. */
export interface ReplicaGpuSample {
  readonly replicaId: string;
  readonly deployment: string;
  /** of the GPU */
  readonly index: number;
  readonly uuid: string;
  /** of the GPU that it holds, 0 to 1; 0: it uses one that it has no share of */
  readonly share: number;
  /** by all its processes; null: the driver does not say */
  readonly memoryUsedBytes: number | null;
  /** the share of the last second in which its kernels ran, 0 to 1; null: the driver does not say */
  readonly busy: number | null;
}

/** What calls have taken in one process of a replica, since it began. */
export interface ReplicaWork {
  readonly replicaId: string;
  readonly deployment: string;
  readonly pid: number;
  /** how long each call was in user code */
  readonly times: Histogram;
  /** how many calls were in each batch */
  readonly batches: SizeHistogram;
}

/** The same of all replicas of a deployment. */
export type DeploymentWork = Omit<ReplicaWork, 'replicaId' | 'pid'>;

/** What calls have taken, wherever. */
export type Work = Pick<ReplicaWork, 'times' | 'batches'>;

export const NO_WORK: Work = { times: EMPTY_HISTOGRAM, batches: NO_SIZES };

export function addWork(one: Work, other: Work): Work {
  return {
    times: addHistograms(one.times, other.times),
    batches: addSizes(one.batches, other.batches),
  };
}

/** See `since` of histograms. */
export function workSince(now: Work, before: Work): Work {
  return { times: since(now.times, before.times), batches: sizesSince(now.batches, before.batches) };
}

/** Environments that a node process has built since it began. */
export interface BuildsSample {
  readonly built: number;
  readonly failed: number;
  /** how long all of them took */
  readonly seconds: number;
}

/** What a node says of itself when it is asked. */
export interface NodeSample {
  readonly nodeId: string;
  /** by its own clock */
  readonly atMs: number;
  /** null: it does not answer */
  readonly ingress: IngressSample | null;
  /** the node process */
  readonly process: ProcessSample;
  readonly machine: MachineSample;
  readonly gpus: readonly GpuSample[];
  /** not there: a node of an earlier version */
  readonly replicaGpus?: readonly ReplicaGpuSample[];
  /** environments that are built here, and being built */
  readonly environments: { readonly ready: number; readonly building: number };
  /** not there: a node of an earlier version */
  readonly builds?: BuildsSample;
  /** of models that are kept here */
  readonly modelBytes: number;
  /** of processes that are there, and of those that have ended in the last minute; not there: an earlier version */
  readonly works?: readonly ReplicaWork[];
}

/** An environment that a node has built, or builds. */
export interface EnvironmentSample {
  /** kind and content key */
  readonly key: string;
  readonly state: 'ready' | 'building' | 'unfinished';
  readonly description: string;
  readonly packages: readonly string[];
  /** hashes of packages that were prepared with it, by their first 16 characters */
  readonly packageHashes: readonly string[];
  readonly sizeBytes: number;
  /** ISO 8601 */
  readonly lastUsed: string;
}

/** What a process of an ingress counts, to be put together with others'. */
export type PartialIngress = Pick<IngressSample, 'processes' | 'connections' | 'unrouted' | 'deployments'>;

/** Sums the processes of an ingress. Which replicas are ready is the first one's word. */
export function sumIngress(parts: readonly PartialIngress[]): PartialIngress {
  const deployments = new Map<string, DeploymentSample>();
  for (const sample of parts.flatMap((part) => part.deployments)) {
    const known = deployments.get(sample.deployment);
    deployments.set(sample.deployment, known === undefined ? sample : addDeployment(known, sample));
  }
  const sum = (of: (part: PartialIngress) => number): number =>
    parts.reduce((total, part) => total + of(part), 0);
  return {
    processes: parts.flatMap((part) => part.processes),
    connections: sum((part) => part.connections),
    unrouted: sum((part) => part.unrouted),
    deployments: [...deployments.values()],
  };
}

/** What a process that has ended leaves: its counts. */
export function leftBehind({ unrouted, deployments }: PartialIngress): PartialIngress {
  return {
    ...{ processes: [], connections: 0, unrouted },
    deployments: deployments.map((one) => ({ ...one, inFlight: 0, queued: 0, ready: 0 })),
  };
}

/**
 * What came since `before` was taken; gauges are those of now. Where `now` has counted less, it began anew, and all it has
 * came since.
 */
export function deploymentSince(now: DeploymentSample, before: DeploymentSample): DeploymentSample {
  if (OUTCOMES.some((outcome) => now.outcomes[outcome] < (before.outcomes[outcome] ?? 0))) return now;
  const outcomes = OUTCOMES.map((one) => [one, now.outcomes[one] - (before.outcomes[one] ?? 0)]);
  return {
    ...now,
    outcomes: Object.fromEntries(outcomes) as DeploymentSample['outcomes'],
    requestBytes: sizesSince(now.requestBytes, before.requestBytes),
    responseBytes: sizesSince(now.responseBytes, before.responseBytes),
    retries: now.retries - before.retries,
    refusals: now.refusals - before.refusals,
    duration: since(now.duration, before.duration),
    wait: since(now.wait, before.wait),
    work: since(now.work, before.work),
    own: since(now.own, before.own),
  };
}

/** Whether a sample says nothing but which replicas are ready: no request, none that waits. */
export function isIdle({ ready: _, ...counts }: DeploymentSample): boolean {
  return Object.values(counts).every(isNothing);
}

function isNothing(value: number | string | object): boolean {
  if (typeof value === 'object') return Object.values(value).every(isNothing);
  return typeof value === 'string' || value === 0;
}

/** Both together; `ready` stays the first one's. */
export function addDeployment(one: DeploymentSample, other: DeploymentSample): DeploymentSample {
  const outcomes = OUTCOMES.map((outcome) => [outcome, one.outcomes[outcome] + other.outcomes[outcome]]);
  return {
    deployment: one.deployment,
    outcomes: Object.fromEntries(outcomes) as DeploymentSample['outcomes'],
    requestBytes: addSizes(one.requestBytes, other.requestBytes),
    responseBytes: addSizes(one.responseBytes, other.responseBytes),
    retries: one.retries + other.retries,
    refusals: one.refusals + other.refusals,
    duration: addHistograms(one.duration, other.duration),
    wait: addHistograms(one.wait, other.wait),
    work: addHistograms(one.work, other.work),
    own: addHistograms(one.own, other.own),
    inFlight: one.inFlight + other.inFlight,
    queued: one.queued + other.queued,
    ready: one.ready,
  };
}
