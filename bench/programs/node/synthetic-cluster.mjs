// A cluster that is made up: what its leader knows and what its nodes count, moving on from a seed.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../../dist', import.meta.url));
const { OUTCOMES } = await import(join(DIST, 'cluster/metrics/outcomes.js'));
const { BUCKET_COUNT, bucketOf, histogramOf } = await import(join(DIST, 'cluster/metrics/histogram.js'));

const { NO_SIZES } = await import(join(DIST, 'cluster/metrics/sizes.js'));

const GPUS = 8;
const GPU_BYTES = 80 * 2 ** 30;
const PHASES = ['ready', 'draining', 'starting', 'ready', 'suspect', 'ready'];
const KEPT_EVENTS = 1_000;
const LINES_EVERY_MS = 200;

export class SyntheticCluster {
  #sizes;
  #seed = 1;
  #nodes;
  #rollouts;
  #counted;
  #events = [];
  #changes = 0;
  /** calls that each replica has had */
  #calls = 0;

  /** @param {{deployments: number, nodes: number, replicas: number}} sizes */
  constructor(sizes) {
    this.#sizes = sizes;
    this.#rollouts = Array.from({ length: sizes.deployments }, (_, index) => rollout(index, sizes));
    this.#nodes = Array.from({ length: sizes.nodes }, (_, index) => nodeFacts(index));
    for (let index = 0; index < sizes.replicas; index += 1) this.#place(index);
    this.#counted = this.#nodes.map(() => this.#rollouts.map(({ deployment }) => noSample(deployment)));
  }

  /** what the status document is made of */
  get facts() {
    return {
      ...{ cluster: 'synthetic', leader: 'node-0', revision: 7, store: { kind: 'redis', ok: true } },
      rotation: null,
      nodes: this.#nodes,
      rollouts: this.#rollouts,
      states: this.#rollouts.map(({ deployment }, index) => stateOf(deployment, index, this.#sizes)),
    };
  }

  /** what nodes say that they have counted, `NodeSample`s */
  get samples() {
    const process = { pid: 1, role: 'node', cpuS: 1, residentBytes: 1e8, loopBusyS: 1, loopDelayS: 0.01 };
    return this.#nodes.map(({ record, reported }, index) => ({
      ...{ nodeId: record.nodeId, atMs: Date.now(), process, environments: { ready: 1, building: 0 } },
      modelBytes: 1e9,
      machine: {
        ...{ cpuBusyS: this.#changes * this.#random(), cpuTotalS: this.#changes * 2 + 1 },
        ...{ memoryUsedBytes: 1e10 * (1 + this.#random()), memoryTotalBytes: 1e11 },
      },
      gpus: record.capacity.gpus.map(({ index: gpu, uuid }) => ({
        ...{ index: gpu, uuid, busy: this.#random() },
        ...{ memoryUsedBytes: Math.floor(GPU_BYTES * this.#random()), memoryTotalBytes: GPU_BYTES },
      })),
      replicaGpus: reported.flatMap(({ assignment: { replicaId, deployment, slices } }) =>
        slices.map(({ uuid, index: gpu, milli }) => ({
          ...{ replicaId, deployment, index: gpu, uuid, share: milli / 1_000, busy: this.#random() },
          memoryUsedBytes: Math.floor(GPU_BYTES * 0.3 * this.#random()),
        })),
      ),
      works: reported.map(({ assignment: { replicaId, deployment }, pid }) => ({
        ...{ replicaId, deployment, pid, batches: { sum: this.#calls * 3, buckets: [2, this.#calls] } },
        times: { sumS: this.#calls / 100, buckets: [bucketOf(10), this.#calls] },
      })),
      ingress: {
        ...{ startedAtMs: 0, processes: [], connections: 10, unrouted: 0 },
        deployments: [...this.#counted[index]],
      },
    }));
  }

  /** Requests of some seconds; a deployment is asked at two nodes. */
  work(seconds) {
    this.#calls += Math.floor(seconds * 20 * this.#random());
    this.#rollouts.forEach((_, deployment) => {
      for (const node of [deployment, deployment * 7 + 3]) {
        const at = this.#counted[node % this.#nodes.length];
        at[deployment] = this.#grown(at[deployment], Math.floor(seconds * 20 * this.#random()));
      }
    });
  }

  /** A few replicas do something else, and something happens. */
  change() {
    this.#changes += 1;
    for (let time = 0; time < 3; time += 1) {
      const node = this.#nodes[Math.floor(this.#random() * this.#nodes.length)];
      const place = Math.floor(this.#random() * node.reported.length);
      const status = node.reported[place];
      if (status === undefined) continue;
      const phase = PHASES[this.#changes % PHASES.length];
      node.reported[place] = { ...status, phase, sinceMs: Date.now(), message: `change ${this.#changes}` };
    }
    const id = `${Date.now()}-${this.#changes}`;
    const fields = { node: `node-${this.#changes % this.#nodes.length}`, reason: 'made up' };
    this.#events.push({ id, atMs: Date.now(), type: 'replica-changed', fields });
    if (this.#events.length > KEPT_EVENTS) this.#events.shift();
  }

  eventsAfter(afterId, limit) {
    const from = this.#events.findIndex(({ id }) => id === afterId);
    return afterId === null ? this.#events.slice(-limit) : this.#events.slice(from + 1, from + 1 + limit);
  }

  replica(id) {
    const status = this.#nodes
      .flatMap(({ reported }) => reported)
      .find((one) => one.assignment.replicaId === id);
    return {
      ...{ id, deployment: status?.assignment.deployment, package: { name: 'P', hash: 'a'.repeat(64) } },
      ...{ backend: 'Backend', python: null, environment: null, variables: [], models: [] },
    };
  }

  async *lines() {
    for (let line = 0; ; line += 1) {
      yield `${new Date().toISOString()} a line that a model writes, number ${line}\n`.repeat(
        line === 0 ? 200 : 5,
      );
      await delay(LINES_EVERY_MS);
    }
  }

  #grown(sample, requests) {
    const counts = new Float64Array(BUCKET_COUNT);
    for (let place = 0; place + 1 < sample.duration.buckets.length; place += 2)
      counts[sample.duration.buckets[place]] += sample.duration.buckets[place + 1];
    const bucket = bucketOf(5 + 80 * this.#random());
    counts[bucket] += requests;
    const duration = histogramOf(counts, sample.duration.sumS + requests / 50);
    const outcomes = { ...sample.outcomes, ok: sample.outcomes.ok + requests };
    if (this.#random() < 0.2) outcomes.timeout += 1;
    if (this.#random() < 0.1) outcomes.application_error += 2;
    return { ...sample, outcomes, duration, inFlight: requests % 5, queued: requests % 3 };
  }

  #place(index) {
    const deployment = this.#rollouts[index % this.#rollouts.length];
    const node = this.#nodes[(index * 13) % this.#nodes.length];
    const gpu = node.record.capacity.gpus[Math.floor(index / this.#nodes.length) % GPUS];
    node.reported.push({
      assignment: {
        ...{ replicaId: `${deployment.deployment}-${index}`, deployment: deployment.deployment },
        ...{ revision: 7, desired: 'run', spec: deployment.wanted.spec },
        slices: index % 2 === 0 ? [{ uuid: gpu.uuid, index: gpu.index, milli: 250 }] : [],
      },
      ...{
        phase: 'ready',
        sinceMs: Date.now(),
        message: '',
        pid: 1_000 + index,
        admitted: true,
        restarts: index % 4,
      },
      ...{ startedAtMs: Date.now(), failure: null },
    });
  }

  /** Linear congruential: the same cluster each time. */
  #random() {
    this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return this.#seed / 2 ** 31;
  }
}

function rollout(index, { deployments, replicas }) {
  const deployment = `Model${String(index).padStart(3, '0')}`;
  const spec = { route: `models/${index}`, methods: ['POST'], replicas: Math.ceil(replicas / deployments) };
  const wanted = { revision: 7, spec };
  return { deployment, wanted, lastGood: wanted, failure: null };
}

function stateOf(deployment, index, { deployments, replicas }) {
  const target = Math.ceil(replicas / deployments);
  const isPending = index % 50 === 7;
  return {
    ...{ deployment, target, ready: isPending ? 0 : target, settled: !isPending, unplaced: [] },
    health: isPending ? 'PENDING' : 'HEALTHY',
    message: isPending ? 'node-1: GPU 0 has 0.25 free, 1 is needed; node-2: the same' : '',
  };
}

function nodeFacts(index) {
  const gpus = Array.from({ length: GPUS }, (_, gpu) => ({
    ...{ index: gpu, uuid: `GPU-${index}-${gpu}`, name: 'NVIDIA H200', virtual: false },
    ...{ usable: true, reason: null, memoryBytes: GPU_BYTES },
  }));
  return {
    record: {
      ...{ nodeId: `node-${index}`, role: index === 0 ? 'head' : 'worker', hostname: `machine-${index}` },
      ...{ host: '10.0.0.1', httpPort: 8000, draining: false, capacity: { cpuMilli: 64_000, gpus } },
    },
    ...{ alive: true, assigned: [], reported: [], casualties: [] },
  };
}

function noSample(deployment) {
  const empty = histogramOf(new Float64Array(BUCKET_COUNT), 0);
  return {
    ...{ deployment, outcomes: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) },
    ...{ requestBytes: NO_SIZES, responseBytes: NO_SIZES, retries: 0, refusals: 0 },
    ...{ inFlight: 0, queued: 0, ready: 5, duration: empty, wait: empty, work: empty, own: empty },
  };
}
