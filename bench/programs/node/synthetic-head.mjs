// The admin server of a head of a large cluster, with everything behind it made up: routes, the live stream, measuring and
// the status document are the real ones. Says its port in the first line; ends when its stdin does.
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { getGlobalDispatcher } from 'undici';
import { SyntheticCluster } from './synthetic-cluster.mjs';

const DIST = fileURLToPath(new URL('../../../dist', import.meta.url));
const load = async (path) => await import(join(DIST, path));
const { AdminServer } = await load('admin/server.js');
const { LiveHub } = await load('admin/live/hub.js');
const { statusDocument } = await load('controller/status-document.js');
const { ClusterMeasurer } = await load('controller/metrics/cluster-measurer.js');
const { readSeries } = await load('controller/metrics/read-series.js');
const { clusterKeys } = await load('config/token.js');
const { LiveSecrets } = await load('lib/live-secrets.js');

const [token, deployments, nodes, replicas, hours] = process.argv.slice(2);
const TICK_MS = 2_000;
const CHANGE_MS = 250;
const SLOT_MS = 10_000;

const cluster = new SyntheticCluster({
  ...{ deployments: Number(deployments), nodes: Number(nodes), replicas: Number(replicas) },
});
const status = async () => statusDocument(cluster.facts);
const startedAtMs = Date.now() - Number(hours) * 3_600_000;
const measurer = new ClusterMeasurer(startedAtMs);
for (let atMs = startedAtMs; atMs < Date.now(); atMs += SLOT_MS) {
  cluster.work(SLOT_MS / 1000);
  measurer.take({ atMs, samples: cluster.samples, status: await status() });
}

const listeners = new Set();
const timers = [
  setInterval(() => cluster.change(), CHANGE_MS),
  setInterval(async () => {
    cluster.work(TICK_MS / 1000);
    const tick = measurer.take({ atMs: Date.now(), samples: cluster.samples, status: await status() });
    for (const listener of listeners) listener(tick);
  }, TICK_MS),
];
const events = async (afterId, limit) => cluster.eventsAfter(afterId, limit);
const live = new LiveHub({
  ...{ status, events },
  onTick: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
});
const { apiKey, viewerKey, metricsKey } = clusterKeys(token);
const keys = {
  api: new LiveSecrets(apiKey),
  viewer: new LiveSecrets(viewerKey),
  metrics: new LiveSecrets(metricsKey),
};
const nothing = new Proxy(
  {},
  { get: () => async () => ({ models: [], environments: [], silent: [], revisions: [] }) },
);
const server = new AdminServer(
  { host: '127.0.0.1', port: 0, keys, isReadOnly: false, tls: null, version: '0' },
  {
    backend: { ...nothing, status, events, replica: async (id) => cluster.replica(id) },
    uploads: nothing,
    tokens: nothing,
    revisions: { list: async () => [] },
    measurements: {
      series: (query) => readSeries(measurer.series, query),
      environments: async () => ({ environments: [], silent: [] }),
      get samples() {
        return measurer.nodes;
      },
      exposition: async () => '',
      isOpen: false,
    },
    logs: { open: async () => cluster.lines() },
    live,
    routes: getGlobalDispatcher(),
    log: console,
  },
);
await server.start();
const began = { cpu: process.cpuUsage(), atMs: performance.now() };
process.stdout.write(`${server.port}\n`);

// What is asked on stdin is answered on stdout: what it cost since the last question.
process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage(began.cpu);
  const seconds = (performance.now() - began.atMs) / 1000;
  process.stdout.write(`${JSON.stringify({ cpuShare: (user + system) / 1e6 / seconds })}\n`);
  began.cpu = process.cpuUsage();
  began.atMs = performance.now();
});
process.stdin.on('end', async () => {
  for (const timer of timers) clearInterval(timer);
  await live.stop();
  await server.stop();
  process.exit(0);
});
