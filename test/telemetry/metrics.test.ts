import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OUTCOMES } from '../../src/cluster/metrics/outcomes.ts';
import type { DeploymentSample, NodeSample } from '../../src/cluster/metrics/samples.ts';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import { type ClusterFacts, clusterExposition } from '../../src/telemetry/metrics/cluster-metrics.ts';
import { Exposition } from '../../src/telemetry/metrics/exposition.ts';
import { parseMetrics } from '../support/prometheus.ts';

const histogram = { sumS: 1, buckets: [40, 2, 60, 1] };
const echo: DeploymentSample = {
  deployment: 'Echo',
  outcomes: Object.fromEntries(OUTCOMES.map((one) => [one, 1])) as DeploymentSample['outcomes'],
  ...{
    requestBytes: { sum: 1, buckets: [0, 1] },
    responseBytes: { sum: 2, buckets: [1, 1] },
    retries: 3,
    refusals: 4,
    inFlight: 5,
    queued: 6,
    ready: 7,
  },
  ...{ duration: histogram, wait: histogram, work: histogram, own: histogram },
};
const process = { pid: 1, cpuS: 1, residentBytes: 2, loopBusyS: 3, loopDelayS: 0.004 };
const node: NodeSample = {
  ...{
    nodeId: 'n1',
    atMs: 0,
    environments: { ready: 1, building: 0 },
    modelBytes: 9,
    builds: { built: 2, failed: 1, seconds: 3 },
  },
  ingress: {
    ...{ startedAtMs: 0, connections: 1, unrouted: 2, deployments: [echo] },
    processes: [
      { ...process, role: 'ingress' },
      { ...process, role: 'ingress-helper' },
      { ...process, role: 'ingress-helper' },
    ],
  },
  process: { ...process, role: 'node' },
  machine: { cpuBusyS: 1, cpuTotalS: 2, memoryUsedBytes: 3, memoryTotalBytes: 4 },
  gpus: [{ index: 0, uuid: 'GPU-1', busy: 0.5, memoryUsedBytes: 6, memoryTotalBytes: 8 }],
  replicaGpus: [
    {
      ...{ replicaId: 'Echo-1', deployment: 'Echo', index: 0, uuid: 'GPU-1' },
      ...{ share: 0.5, memoryUsedBytes: 5, busy: 0.25 },
    },
    {
      ...{ replicaId: 'Echo-2', deployment: 'Echo', index: 0, uuid: 'GPU-1' },
      ...{ share: 0.25, memoryUsedBytes: null, busy: null },
    },
    {
      ...{ replicaId: 'Gone-1', deployment: 'Echo', index: 0, uuid: 'GPU-1' },
      ...{ share: 0.25, memoryUsedBytes: 1, busy: 1 },
    },
  ],
};
const gpu = { index: 0, uuid: 'GPU-1', name: 'H200', virtual: false, usable: true, reason: null, free: 0.25 };
const status = {
  ...{ version: 1, cluster: 'c', leader: 'n1', revision: 3, store: { kind: 'redis', ok: true } },
  nodes: [{ id: 'n1', alive: true, gpus: [gpu] }],
  deployments: [
    {
      ...{ name: 'Echo', status: 'HEALTHY', target: 2, ready: 1, lost_requests: [] },
      replicas: [
        { id: 'Echo-1', phase: 'ready', restarts: 2 },
        { id: 'Echo-2', phase: 'starting', restarts: 0 },
      ],
    },
  ],
} as unknown as StatusDocument;

const facts: ClusterFacts = {
  ...{ version: '1.2.3', status, isLeader: true, epoch: 4, looks: histogram },
  ...{ nodes: [node], totals: [echo] },
  works: [{ deployment: 'Echo', times: histogram, batches: { sum: 9, buckets: [2, 1, 3, 1] } }],
};
const text = clusterExposition(facts);

describe('the metrics of a cluster', () => {
  it('keep the rules of the format', () => {
    const metrics = parseMetrics(text);
    expect(metrics.get('modelserve_requests_total{deployment="Echo",outcome="timeout"}')).toBe(1);
    expect(metrics.get('modelserve_request_duration_seconds_bucket{deployment="Echo",le="+Inf"}')).toBe(3);
    expect(metrics.get('modelserve_batch_size_bucket{deployment="Echo",le="4"}')).toBe(1);
    expect(metrics.get('modelserve_batch_size_bucket{deployment="Echo",le="8"}')).toBe(2);
    expect(metrics.get('modelserve_environment_builds_total{node="n1",outcome="failed"}')).toBe(1);
    expect(metrics.get('modelserve_gpu_held{node="n1",gpu="0"}')).toBe(0.75);
    expect(metrics.get('modelserve_replica_restarts{deployment="Echo"}')).toBe(2);
    expect(metrics.get('modelserve_process_cpu_seconds_total{node="n1",process="ingress-helper-2"}')).toBe(1);
  });

  it('tell what replicas use of GPUs: nothing where it is not known, nor of what is gone', () => {
    const on = (name: string, replica: string, of = parseMetrics(text)) =>
      of.get(`modelserve_replica_gpu_${name}{node="n1",gpu="0",deployment="Echo",replica="${replica}"}`);
    const names = ['busy', 'memory_used_bytes', 'memory_share_bytes'];
    const all = (replica: string) => names.map((name) => on(name, replica));
    expect(all('Echo-1')).toEqual([0.25, 5, 4]);
    expect(all('Echo-2')).toEqual([undefined, undefined, 2]);
    expect(text).not.toContain('Gone-1');
    const lost = { ...status, nodes: status.nodes.map((one) => ({ ...one, alive: false })) };
    expect(clusterExposition({ ...facts, status: lost })).not.toContain('modelserve_replica_gpu');
  });

  it.each(['prometheus-alerts.yml', 'grafana-dashboard.json', 'metrics.md'])(
    'have every name that docs/%s has',
    (file) => {
      const page = readFileSync(join(import.meta.dirname, '../../docs', file), 'utf8');
      const named = page.match(/modelserve_[a-z_]*[a-z]/g) ?? [];
      const known = `${text}\nmodelserve_unrouted_requests_total modelserve_client_connections`;
      expect(named.length).toBeGreaterThan(5);
      expect([...new Set(named)].filter((name) => !known.includes(name))).toEqual([]);
    },
  );

  it('have a section in the runbook for each alert and each status', () => {
    const read = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
    const runbook = read('runbook.md');
    const alerts = [...read('prometheus-alerts.yml').matchAll(/alert: (\w+)/g)].map(([, name]) => name);
    const statuses = [...text.matchAll(/status="(\w+)"/g)].map(([, name]) => name);
    expect(alerts.length).toBeGreaterThan(5);
    for (const name of [...alerts, ...statuses]) expect(runbook).toContain(`\n### ${name}\n`);
  });
});

it('writes values and labels as the format wants them', () => {
  const exposition = new Exposition();
  exposition.gauge('odd', 'two\nlines \\', [
    [{ path: 'a"b\\c\nd' }, Number.NaN],
    [{ path: 'e' }, Number.NEGATIVE_INFINITY],
  ]);
  exposition.gauge('none', 'nothing', []);
  expect(exposition.text).toBe(
    '# HELP odd two\\nlines \\\\\n# TYPE odd gauge\nodd{path="a\\"b\\\\c\\nd"} NaN\nodd{path="e"} -Inf\n',
  );
});
