import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { BUCKET_COUNT, bucketOf, histogramOf } from '../../../src/cluster/metrics/histogram.ts';
import { OUTCOMES } from '../../../src/cluster/metrics/outcomes.ts';
import type { DeploymentSample, NodeSample } from '../../../src/cluster/metrics/samples.ts';
import { NO_SIZES } from '../../../src/cluster/metrics/sizes.ts';
import { ClusterMeasurer, type Look } from '../../../src/controller/metrics/cluster-measurer.ts';
import { coarse } from '../../../src/controller/metrics/packed-hour.ts';
import { readSeries } from '../../../src/controller/metrics/read-series.ts';
import { loadSeries, saveSeries } from '../../../src/controller/metrics/series-file.ts';
import { SeriesStore } from '../../../src/controller/metrics/series-store.ts';
import { REQUEST_QUANTILES, WORK_QUANTILES } from '../../../src/controller/metrics/slot-recorder.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** Without what only waits to be collected: what the first collection finds is freed beside it, and by the second at the latest. */
function liveBufferBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

const BEGIN_MS = 1_800_000_000_000;

/** What an ingress has counted: this many that took 10 ms, and this many that failed. */
function counted(ok: number, failed = 0): DeploymentSample {
  const counts = new Float64Array(BUCKET_COUNT);
  counts[bucketOf(10)] = ok;
  const duration = histogramOf(counts, ok / 100);
  const outcomes = Object.fromEntries(OUTCOMES.map((one) => [one, 0])) as Record<
    (typeof OUTCOMES)[number],
    number
  >;
  return {
    ...{ deployment: 'Echo', outcomes: { ...outcomes, ok, bad_gateway: failed } },
    ...{
      requestBytes: NO_SIZES,
      responseBytes: NO_SIZES,
      retries: 0,
      refusals: 0,
      inFlight: 1,
      queued: 2,
      ready: 1,
    },
    ...{ duration, wait: duration, work: duration, own: duration },
  };
}

function sample(nodeId: string, startedAtMs: number, deployment: DeploymentSample): NodeSample {
  const process = { pid: 1, role: 'node', cpuS: 0, residentBytes: 0, loopBusyS: 0, loopDelayS: 0 } as const;
  return {
    ...{ nodeId, atMs: 0, process, gpus: [], environments: { ready: 0, building: 0 }, modelBytes: 0 },
    machine: { cpuBusyS: 0, cpuTotalS: 0, memoryUsedBytes: 5, memoryTotalBytes: 10 },
    ingress: { startedAtMs, processes: [], connections: 0, unrouted: 0, deployments: [deployment] },
  };
}

function look(afterS: number, ...samples: NodeSample[]): Look {
  const nodes = samples.map(({ nodeId }) => ({ id: nodeId, gpus: [] }));
  const status = { nodes, deployments: [{ name: 'Echo', ready: 3 }] } as unknown as Look['status'];
  return { atMs: BEGIN_MS + afterS * 1000, samples, status };
}

const range = (toS: number, stepS: number | null = 10) => ({
  ...{ deployments: null, nodes: null, total: true, stepS },
  fromMs: BEGIN_MS,
  toMs: BEGIN_MS + toS * 1000,
});

it('adds up nodes, tells rates since the look before, and keeps them over time', () => {
  const measurer = new ClusterMeasurer(BEGIN_MS);
  const first = measurer.take(
    look(10, sample('a', BEGIN_MS, counted(100)), sample('b', BEGIN_MS, counted(50, 10))),
  );
  expect(first.deployments).toEqual([
    {
      ...{ name: 'Echo', requestsPerS: 16, failuresPerS: 1, queued: 4, inFlight: 2, readyReplicas: 3 },
      ...{ p50Ms: expect.closeTo(9.2, 0), p95Ms: expect.closeTo(10.1, 0), p99Ms: expect.closeTo(10.2, 0) },
    },
  ]);
  const second = measurer.take(
    look(20, sample('a', BEGIN_MS, counted(100)), sample('b', BEGIN_MS, counted(70, 10))),
  );
  expect(second.deployments[0]).toMatchObject({ requestsPerS: 2, failuresPerS: 0 });
  expect(measurer.totals[0]).toMatchObject({
    outcomes: { ok: 170, bad_gateway: 10 },
    inFlight: 2,
    queued: 4,
  });
  const { deployments, nodes, total } = readSeries(measurer.series, range(20));
  expect(total).toEqual(deployments['Echo']);
  expect(deployments['Echo']?.outcomesPerS).toEqual({ ok: [15, 2, null], bad_gateway: [1, 0, null] });
  expect(deployments['Echo']).toMatchObject({ requestsPerS: [16, 2, null], readyReplicas: [3, 3, null] });
  expect(nodes['a']).toMatchObject({ cpu: [null, null, null], memoryUsedBytes: [5, 5, null] });
  expect(readSeries(measurer.series, range(19, 20)).deployments['Echo']?.requestsPerS).toEqual([9]);
});

describe('an ingress that', () => {
  it('is older than this head has its counts in the sums, and at no point of time', () => {
    const measurer = new ClusterMeasurer(BEGIN_MS);
    const tick = measurer.take(look(10, sample('a', BEGIN_MS - 5_000, counted(100))));
    expect(tick.deployments[0]?.requestsPerS).toBe(0);
    expect(measurer.totals[0]?.outcomes.ok).toBe(100);
    expect(
      measurer.take(look(20, sample('a', BEGIN_MS - 5_000, counted(110)))).deployments[0]?.requestsPerS,
    ).toBe(1);
  });

  it('goes on in the slot in which an earlier head ended, and takes nothing from it', () => {
    const earlier = new ClusterMeasurer(BEGIN_MS);
    earlier.take(look(3, sample('a', BEGIN_MS, counted(30, 2))));
    const later = new ClusterMeasurer(BEGIN_MS + 4_000, earlier.series);
    later.take(look(5, sample('a', BEGIN_MS, counted(30, 2))));
    later.take(look(7, sample('a', BEGIN_MS, counted(40, 2))));
    later.take(look(9, sample('a', BEGIN_MS, counted(40, 2))));
    const { ok, bad_gateway } = readSeries(later.series, range(5)).deployments['Echo']?.outcomesPerS ?? {};
    expect([ok, bad_gateway]).toEqual([[4], [expect.closeTo(0.2, 5)]]);
  });

  it('began anew is counted from 0, and sums only grow', () => {
    const measurer = new ClusterMeasurer(BEGIN_MS);
    measurer.take(look(10, sample('a', BEGIN_MS, counted(100))));
    const tick = measurer.take(look(20, sample('a', BEGIN_MS + 15_000, counted(30))));
    expect(tick.deployments[0]?.requestsPerS).toBe(3);
    expect(measurer.totals[0]?.outcomes.ok).toBe(130);
  });

  it('is gone leaves its counts', () => {
    const measurer = new ClusterMeasurer(BEGIN_MS);
    measurer.take(look(10, sample('a', BEGIN_MS, counted(100))));
    measurer.take(look(20));
    expect(measurer.totals[0]).toMatchObject({ outcomes: { ok: 100 }, inFlight: 0 });
    expect(measurer.nodes).toEqual([]);
  });

  it('is not shown with old values while it does not answer, and is counted on from them when it does', () => {
    const measurer = new ClusterMeasurer(BEGIN_MS);
    const silent = look(20);
    measurer.take(look(10, sample('a', BEGIN_MS, counted(100))));
    expect(measurer.nodes).toMatchObject([{ nodeId: 'a' }]);
    measurer.take({ ...silent, status: look(20, sample('a', BEGIN_MS, counted(100))).status });
    expect(measurer.nodes).toEqual([]);
    measurer.take(look(30, sample('a', BEGIN_MS, counted(130))));
    expect(measurer.nodes).toMatchObject([{ nodeId: 'a' }]);
    expect(measurer.totals[0]?.outcomes.ok).toBe(130);
  });
});

it('sums what calls took in user code over replicas that come, go and are started again', () => {
  const measurer = new ClusterMeasurer(BEGIN_MS);
  const took = (replicaId: string, pid: number, calls: number) => ({
    ...{ deployment: 'Echo', replicaId, pid },
    times: { sumS: calls / 100, buckets: [bucketOf(10), calls] },
    batches: { sum: 2 * calls, buckets: [1, calls] },
  });
  const at = (afterS: number, ...works: ReturnType<typeof took>[]) =>
    measurer.take(look(afterS, { ...sample('n1', BEGIN_MS, counted(0)), works }));
  at(10, took('a', 1, 5), took('b', 2, 1));
  at(20, took('a', 1, 7), took('a', 3, 4));
  at(30, took('a', 3, 5));
  expect(measurer.works).toEqual([
    {
      deployment: 'Echo',
      times: { sumS: expect.closeTo(0.13), buckets: [bucketOf(10), 13] },
      batches: { sum: 26, buckets: [1, 13] },
    },
  ]);
});

it('keeps batch sizes, time in user code and the wait for a replica over time', () => {
  const measurer = new ClusterMeasurer(BEGIN_MS);
  const took = (calls: number, batches: number) => ({
    ...{ deployment: 'Echo', replicaId: 'a', pid: 1 },
    times: { sumS: calls / 100, buckets: [bucketOf(10), calls] },
    batches: { sum: calls, buckets: [2, batches] },
  });
  const at = (afterS: number, calls: number, batches: number) =>
    measurer.take(look(afterS, { ...sample('n1', BEGIN_MS, counted(calls)), works: [took(calls, batches)] }));
  at(10, 50, 20); // what a node had counted when it was asked first is of no point of time
  at(20, 56, 22);
  at(25, 60, 23);
  at(30, 68, 25);
  at(40, 68, 25);
  const { deployments, total } = readSeries(measurer.series, range(40));
  expect(deployments['Echo']).toMatchObject({
    batchSize: [null, 3, 4, null, null],
    userCodeP50Ms: [null, expect.closeTo(9.2, 0), expect.closeTo(9.2, 0), null, null],
    userCodeP95Ms: [null, expect.closeTo(10.1, 0), expect.closeTo(10.1, 0), null, null],
    queueP50Ms: [expect.closeTo(9.2, 0), expect.closeTo(9.2, 0), expect.closeTo(9.2, 0), null, null],
  });
  expect(total?.batchSize).toEqual([null, 3, 4, null, null]);
  const { deployments: coarse } = readSeries(measurer.series, range(39, 40));
  expect(coarse['Echo']?.batchSize[0]).toBeCloseTo(18 / 5);
});

it('goes on with the batches of a slot in which an earlier head ended', () => {
  const works = (calls: number, batches: number) => [
    {
      ...{ deployment: 'Echo', replicaId: 'a', pid: 1 },
      times: { sumS: calls, buckets: [bucketOf(10), calls] },
      batches: { sum: calls, buckets: [2, batches] },
    },
  ];
  const node = sample('n1', BEGIN_MS, counted(0));
  const earlier = new ClusterMeasurer(BEGIN_MS);
  earlier.take(look(1, { ...node, works: works(10, 10) }));
  earlier.take(look(3, { ...node, works: works(14, 12) }));
  const later = new ClusterMeasurer(BEGIN_MS + 4_000, earlier.series);
  later.take(look(5, { ...node, works: works(14, 12) }));
  later.take(look(7, { ...node, works: works(20, 14) }));
  expect(readSeries(later.series, range(5)).deployments['Echo']?.batchSize).toEqual([2.5]);
});

it('rounds what is known to a tenth to a 256th of itself', () => {
  for (const value of [1e-4, 0.3, 9.17, 1_234.5, 2e6])
    expect(Math.abs(coarse(value) / value - 1)).toBeLessThan(1 / 256);
  expect([0, 1, -2.5, Number.NaN].map(coarse)).toEqual([0, 1, -2.5, Number.NaN]);
});

describe('values over time', () => {
  it('come back from a file as they were, and go after a day', async () => {
    const file = join(tempDir(), 'series.gz');
    const store = new SeriesStore();
    for (let slot = 0; slot < 8_640; slot += 7) store.write('deployment Ünï', slot, { ok: slot, queued: 0 });
    await saveSeries(file, store);
    const loaded = new SeriesStore();
    await loadSeries(file, loaded);
    for (let slot = 0; slot < 8_640; slot += 1)
      expect(loaded.read('deployment Ünï', 'ok', slot)).toBe(slot % 7 === 0 ? slot : null);
    expect([...loaded.fieldsOf('deployment Ünï')]).toEqual(['ok']);
    loaded.forget(8_640 + 360);
    expect(loaded.read('deployment Ünï', 'ok', 0)).toBeNull();
    loaded.forget(3 * 8_640);
    expect(loaded.keys).toEqual([]);
  });

  it('are nothing where there is no file, and what can be read of a damaged one', async () => {
    const folder = tempDir();
    const store = new SeriesStore();
    await loadSeries(join(folder, 'none.gz'), store);
    await writeFile(join(folder, 'damaged.gz'), 'no gzip');
    await expect(loadSeries(join(folder, 'damaged.gz'), store)).rejects.toThrow();
    expect(store.keys).toEqual([]);
  });

  it('of 200 deployments for a day take less than 100 MB, however much occurs', () => {
    const percentiles = [...REQUEST_QUANTILES, ...WORK_QUANTILES].map(([field]) => field);
    const gauges = ['readyReplicas', 'queued', 'inFlight'];
    const fields = [...OUTCOMES, 'batches', 'batchedCalls', ...gauges, ...percentiles];
    const store = new SeriesStore();
    const before = liveBufferBytes();
    for (let slot = 0; slot < 8_640; slot += 36) {
      const values = fields.map((field, at) => [
        field,
        field.endsWith('Ms') ? coarse(slot / 7) : slot * (at + 1),
      ]);
      for (let key = 0; key < 200; key += 1)
        store.write(`deployment ${key}`, slot, Object.fromEntries(values) as Record<string, number>);
      store.forget(slot);
    }
    expect(liveBufferBytes() - before).toBeLessThan(100e6);
    expect(store.read('deployment 199', 'inFlight', 36)).toBe(36 * (fields.indexOf('inFlight') + 1));
  });

  it('are what they were when their hour is packed, and when one writes there again', () => {
    const store = new SeriesStore();
    const kinds = {
      same: () => 7,
      byte: (slot: number) => slot % 200,
      word: (slot: number) => slot * 2,
      large: (slot: number) => slot * 1_000,
      negative: (slot: number) => -slot,
      fraction: (slot: number) => Math.fround(slot / 3),
      coarse: (slot: number) => (slot % 7 === 0 ? Number.NaN : coarse(-slot / 3)),
      missing: (slot: number) => (slot % 2 === 0 ? Number.NaN : 1),
    } as const;
    const each = (slot: number) =>
      Object.fromEntries(Object.entries(kinds).map(([field, of]) => [field, of(slot)]));
    for (let slot = 10; slot < 360; slot += 3) store.write('k', slot, each(slot));
    store.write('k', 3 * 360, { same: 1 });
    store.forget(3 * 360);
    const read = () =>
      Object.keys(kinds).map((field) =>
        Array.from({ length: 360 }, (_, slot) => store.read('k', field, slot)),
      );
    const expected = Object.values(kinds).map((of) =>
      Array.from({ length: 360 }, (_, slot) => (slot >= 10 && slot % 3 === 1 ? of(slot) : null)),
    );
    expect(read()).toEqual(expected);
    store.write('k', 0, { byte: 1 });
    expect([store.read('k', 'byte', 0), store.read('k', 'same', 0)]).toEqual([1, 0]);
  });
});
