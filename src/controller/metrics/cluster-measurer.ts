import { countOf, quantileMs } from '../../cluster/metrics/histogram.ts';
import { FAILURES, OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import {
  addDeployment,
  addWork,
  type DeploymentSample,
  type DeploymentWork,
  deploymentSince,
  isIdle,
  type MachineSample,
  NO_WORK,
  type NodeSample,
  type Work,
  workSince,
} from '../../cluster/metrics/samples.ts';
import type { DeploymentTick, GpuTick, MetricTick, NodeTick } from '../../cluster/metrics/series.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { SeriesStore } from './series-store.ts';
import { SlotRecorder } from './slot-recorder.ts';

/** One look at all nodes: what each said, and what the leader knows of the cluster. */
export interface Look {
  readonly atMs: number;
  /** of those that answered */
  readonly samples: readonly NodeSample[];
  readonly status: Pick<StatusDocument, 'nodes' | 'deployments'>;
}

/**
 * Makes of what nodes have counted what the cluster has: sums that only grow, values over time, and a tick for each look.
 * It is given time and samples, and asks nobody.
 */
export class ClusterMeasurer {
  readonly #startedAtMs: number;
  readonly series: SeriesStore;
  /** as they answered last: what they count from then on is since that */
  readonly #nodes = new Map<string, NodeSample>();
  #answering: ReadonlySet<string> = new Set();
  readonly #totals = new Map<string, DeploymentSample>();
  readonly #works = new Map<string, Work>();
  readonly #recorder: SlotRecorder;
  #lastMs: number;

  /** @param startedAtMs what was counted before is in sums, and at no point of time */
  constructor(startedAtMs: number, series = new SeriesStore()) {
    this.#startedAtMs = startedAtMs;
    this.#lastMs = startedAtMs;
    this.series = series;
    this.#recorder = new SlotRecorder(series);
  }

  /** Of all nodes since this head began, and what their ingresses had counted by then; gauges as they were last. */
  get totals(): readonly DeploymentSample[] {
    const now = this.nodes.flatMap(({ ingress }) => ingress?.deployments ?? []);
    return [...this.#totals.values()].map((total) => {
      const parts = now.filter(({ deployment }) => deployment === total.deployment);
      const inFlight = parts.reduce((sum, part) => sum + part.inFlight, 0);
      return { ...total, inFlight, queued: parts.reduce((sum, part) => sum + part.queued, 0) };
    });
  }

  /** What calls took in user code, by deployment, of all nodes since this head began, and what they had counted by then. */
  get works(): readonly DeploymentWork[] {
    return [...this.#works].map(([deployment, { times, batches }]) => ({ deployment, times, batches }));
  }

  /** those that answered the last time, with what they said: what the others had said is not known to be so any more */
  get nodes(): readonly NodeSample[] {
    return [...this.#nodes.values()].filter(({ nodeId }) => this.#answering.has(nodeId));
  }

  take({ atMs, samples, status }: Look): MetricTick {
    const coversMs = Math.max(1, atMs - this.#lastMs);
    this.#recorder.enter(SeriesStore.slotOf(atMs - coversMs / 2));
    this.#lastMs = atMs;
    const fresh = new Map<string, DeploymentSample>();
    const works = new Map<string, Work>();
    for (const sample of samples) {
      this.#count(sample, fresh);
      this.#countWork(sample, works);
    }
    const there = new Set(status.nodes.map(({ id }) => id));
    const nodes = samples.map((sample) => this.#nodeTick(sample, status));
    for (const sample of samples) this.#nodes.set(sample.nodeId, sample);
    this.#answering = new Set(samples.map(({ nodeId }) => nodeId));
    for (const nodeId of this.#nodes.keys()) if (!there.has(nodeId)) this.#nodes.delete(nodeId);
    this.#forgetDeployments(status);
    const deployments = status.deployments.map(({ name, ready }) => {
      const counted = fresh.get(name);
      this.#recorder.record(`deployment ${name}`, { requests: counted, work: works.get(name) }, ready);
      return deploymentTick(name, counted, { ready, coversMs });
    });
    this.#recorder.record(
      TOTAL_KEY,
      { requests: together(fresh), work: [...works.values()].reduce(addWork, NO_WORK) },
      sumOf(status.deployments, ({ ready }) => ready),
    );
    return { atMs, coversMs, deployments, nodes };
  }

  /** Adds what an ingress has counted since it was asked last. */
  #count({ nodeId, ingress }: NodeSample, fresh: Map<string, DeploymentSample>): void {
    if (ingress === null) return;
    const before = this.#nodes.get(nodeId)?.ingress ?? null;
    const isSame = before?.startedAtMs === ingress.startedAtMs;
    const known = new Map(isSame ? before?.deployments.map((one) => [one.deployment, one]) : []);
    // One that began before this head did has counts of a time that is not this look's.
    const isOld = before === null && ingress.startedAtMs < this.#startedAtMs;
    for (const now of ingress.deployments) {
      const earlier = known.get(now.deployment);
      const since = earlier === undefined ? now : deploymentSince(now, earlier);
      // A deployment is asked at few of many nodes.
      if (isIdle(since) && this.#totals.has(now.deployment)) continue;
      add(this.#totals, since);
      add(fresh, isOld ? deploymentSince(now, now) : since);
    }
  }

  /** What a node's replicas had counted when it was first asked is of a time that is not this look's. */
  #countWork({ nodeId, works = [] }: NodeSample, fresh: Map<string, Work>): void {
    const node = this.#nodes.get(nodeId);
    const known = new Map((node?.works ?? []).map((one) => [`${one.replicaId} ${one.pid}`, one]));
    for (const now of works) {
      const earlier = known.get(`${now.replicaId} ${now.pid}`);
      const since = earlier === undefined ? now : workSince(now, earlier);
      this.#works.set(now.deployment, addWork(this.#works.get(now.deployment) ?? NO_WORK, since));
      if (node !== undefined && countOf(since.times) > 0)
        fresh.set(now.deployment, addWork(fresh.get(now.deployment) ?? NO_WORK, since));
    }
  }

  #nodeTick(sample: NodeSample, status: Look['status']): NodeTick {
    const { nodeId, machine, gpus } = sample;
    const before = this.#nodes.get(nodeId);
    const cpu = before === undefined ? null : busyShare(before.machine, machine);
    const { memoryUsedBytes, memoryTotalBytes } = machine;
    this.series.write(`node ${nodeId}`, this.#recorder.slot, { cpu: cpu ?? Number.NaN, memoryUsedBytes });
    const shown = status.nodes.find(({ id }) => id === nodeId)?.gpus ?? [];
    const ticks = shown.map(({ index, uuid, free }): GpuTick => {
      const use = gpus.find((gpu) => gpu.uuid === uuid);
      const tick = {
        ...{ index, held: 1 - free, busy: use?.busy ?? null },
        memoryUsedBytes: use?.memoryUsedBytes ?? null,
        memoryTotalBytes: use?.memoryTotalBytes ?? 0,
      };
      this.series.write(`gpu ${nodeId} ${index}`, this.#recorder.slot, {
        held: tick.held,
        busy: tick.busy ?? Number.NaN,
        memoryUsedBytes: tick.memoryUsedBytes ?? Number.NaN,
      });
      return tick;
    });
    return { node: nodeId, cpu, memoryUsedBytes, memoryTotalBytes, gpus: ticks };
  }

  /** Sums of a deployment that is gone would stay in every scrape. */
  #forgetDeployments({ deployments }: Look['status']): void {
    const names = new Set(deployments.map(({ name }) => name));
    for (const sums of [this.#totals, this.#works]) {
      for (const name of sums.keys()) if (!names.has(name)) sums.delete(name);
    }
  }
}

/** Under which all deployments together are kept. */
export const TOTAL_KEY = 'total';

/** All of a look as one. */
function together(fresh: ReadonlyMap<string, DeploymentSample>): DeploymentSample | undefined {
  const sums = new Map<string, DeploymentSample>();
  for (const sample of fresh.values()) add(sums, { ...sample, deployment: TOTAL_KEY });
  return sums.get(TOTAL_KEY);
}

function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, item) => sum + of(item), 0);
}

/** Gauges are added up, too, which says something of the nodes of one look. */
function add(sums: Map<string, DeploymentSample>, sample: DeploymentSample): void {
  const known = sums.get(sample.deployment);
  sums.set(sample.deployment, known === undefined ? sample : addDeployment(known, sample));
}

function deploymentTick(
  name: string,
  counted: DeploymentSample | undefined,
  { ready, coversMs }: { readonly ready: number; readonly coversMs: number },
): DeploymentTick {
  const perS = (outcomes: readonly (typeof OUTCOMES)[number][]): number =>
    (outcomes.reduce((sum, one) => sum + (counted?.outcomes[one] ?? 0), 0) * 1000) / coversMs;
  const at = (share: number): number | null =>
    counted === undefined ? null : quantileMs(counted.duration, share);
  return {
    ...{ name, requestsPerS: perS(OUTCOMES), failuresPerS: perS(FAILURES) },
    ...{ p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) },
    ...{ queued: counted?.queued ?? 0, inFlight: counted?.inFlight ?? 0, readyReplicas: ready },
  };
}

function busyShare(before: MachineSample, now: MachineSample): number | null {
  const totalS = now.cpuTotalS - before.cpuTotalS;
  if (totalS <= 0) return null;
  return Math.min(1, Math.max(0, (now.cpuBusyS - before.cpuBusyS) / totalS));
}
