import { addHistograms, EMPTY_HISTOGRAM, quantileMs, since } from '../../cluster/metrics/histogram.ts';
import { FAILURES, OUTCOMES } from '../../cluster/metrics/outcomes.ts';
import {
  addDeployment,
  type DeploymentSample,
  type DeploymentWork,
  deploymentSince,
  isIdle,
  type MachineSample,
  type NodeSample,
} from '../../cluster/metrics/samples.ts';
import type { DeploymentTick, GpuTick, MetricTick, NodeTick } from '../../cluster/metrics/series.ts';
import { addSizes, NO_SIZES, sizesSince } from '../../cluster/metrics/sizes.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { SeriesStore } from './series-store.ts';

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
  readonly #works = new Map<string, Omit<DeploymentWork, 'deployment'>>();
  #slot = -1;
  /** what has come in the slot so far, by key of the series */
  #slotCounts = new Map<string, DeploymentSample>();
  /** what an earlier head had counted in the slot in which this one began, by key */
  #inherited: Map<string, Readonly<Record<string, number>>> | null = null;
  #lastMs: number;

  /** @param startedAtMs what was counted before is in sums, and at no point of time */
  constructor(startedAtMs: number, series = new SeriesStore()) {
    this.#startedAtMs = startedAtMs;
    this.#lastMs = startedAtMs;
    this.series = series;
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
    return [...this.#works].map(([deployment, work]) => ({ deployment, ...work }));
  }

  /** those that answered the last time, with what they said: what the others had said is not known to be so any more */
  get nodes(): readonly NodeSample[] {
    return [...this.#nodes.values()].filter(({ nodeId }) => this.#answering.has(nodeId));
  }

  take({ atMs, samples, status }: Look): MetricTick {
    const coversMs = Math.max(1, atMs - this.#lastMs);
    this.#enter(SeriesStore.slotOf(atMs - coversMs / 2));
    this.#lastMs = atMs;
    const fresh = new Map<string, DeploymentSample>();
    for (const sample of samples) {
      this.#count(sample, fresh);
      this.#countWork(sample);
    }
    const there = new Set(status.nodes.map(({ id }) => id));
    const nodes = samples.map((sample) => this.#nodeTick(sample, status));
    for (const sample of samples) this.#nodes.set(sample.nodeId, sample);
    this.#answering = new Set(samples.map(({ nodeId }) => nodeId));
    for (const nodeId of this.#nodes.keys()) if (!there.has(nodeId)) this.#nodes.delete(nodeId);
    this.#forgetDeployments(status);
    const deployments = status.deployments.map(({ name, ready }) => {
      const counted = fresh.get(name);
      this.#record(`deployment ${name}`, counted, ready);
      return deploymentTick(name, counted, { ready, coversMs });
    });
    this.#record(
      TOTAL_KEY,
      together(fresh),
      sumOf(status.deployments, ({ ready }) => ready),
    );
    return { atMs, coversMs, deployments, nodes };
  }

  #enter(slot: number): void {
    if (slot === this.#slot) return;
    this.#inherited = this.#slot === -1 ? new Map() : null;
    this.#slot = slot;
    this.#slotCounts = new Map();
    this.series.forget(slot);
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

  #countWork({ nodeId, works = [] }: NodeSample): void {
    const before = this.#nodes.get(nodeId)?.works ?? [];
    for (const { deployment, replicaId, pid, times, batches } of works) {
      const earlier = before.find((one) => one.replicaId === replicaId && one.pid === pid);
      const sum = this.#works.get(deployment) ?? { times: EMPTY_HISTOGRAM, batches: NO_SIZES };
      this.#works.set(deployment, {
        times: addHistograms(sum.times, earlier === undefined ? times : since(times, earlier.times)),
        batches: addSizes(
          sum.batches,
          earlier === undefined ? batches : sizesSince(batches, earlier.batches),
        ),
      });
    }
  }

  #record(key: string, counted: DeploymentSample | undefined, ready: number): void {
    if (counted !== undefined) add(this.#slotCounts, { ...counted, deployment: key });
    const before = this.#inheritedBy(key);
    const inSlot = this.#slotCounts.get(key);
    const values: Record<string, number> = {
      readyReplicas: ready,
      queued: counted?.queued ?? 0,
      inFlight: counted?.inFlight ?? 0,
    };
    if (inSlot !== undefined) {
      for (const outcome of OUTCOMES) values[outcome] = (before[outcome] ?? 0) + inSlot.outcomes[outcome];
      for (const [field, share] of QUANTILES) {
        const ms = quantileMs(inSlot.duration, share);
        if (ms !== null) values[field] = ms;
      }
    }
    this.series.write(key, this.#slot, values);
  }

  /** Read before this head writes there: a head that is started anew within ten seconds goes on in the same slot. */
  #inheritedBy(key: string): Readonly<Record<string, number>> {
    if (this.#inherited === null) return {};
    const known =
      this.#inherited.get(key) ??
      Object.fromEntries(
        OUTCOMES.map((outcome) => [outcome, this.series.read(key, outcome, this.#slot) ?? 0]),
      );
    this.#inherited.set(key, known);
    return known;
  }

  #nodeTick(sample: NodeSample, status: Look['status']): NodeTick {
    const { nodeId, machine, gpus } = sample;
    const before = this.#nodes.get(nodeId);
    const cpu = before === undefined ? null : busyShare(before.machine, machine);
    const { memoryUsedBytes, memoryTotalBytes } = machine;
    this.series.write(`node ${nodeId}`, this.#slot, { cpu: cpu ?? Number.NaN, memoryUsedBytes });
    const shown = status.nodes.find(({ id }) => id === nodeId)?.gpus ?? [];
    const ticks = shown.map(({ index, uuid, free }): GpuTick => {
      const use = gpus.find((gpu) => gpu.uuid === uuid);
      const tick = {
        ...{ index, held: 1 - free, busy: use?.busy ?? null },
        memoryUsedBytes: use?.memoryUsedBytes ?? null,
        memoryTotalBytes: use?.memoryTotalBytes ?? 0,
      };
      this.series.write(`gpu ${nodeId} ${index}`, this.#slot, {
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

export const QUANTILES = [
  ['p50Ms', 0.5],
  ['p95Ms', 0.95],
  ['p99Ms', 0.99],
] as const;

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
