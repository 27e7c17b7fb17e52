// What a day of measurements takes, heap and buffers: `fill FILE` of a day of 200 deployments at which every kind of error
// occurs, which is then saved; `load FILE` of one that a head finds when it starts. Run with --expose-gc.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../../../dist', import.meta.url));
const { SeriesStore } = await import(join(DIST, 'controller/metrics/series-store.js'));
const { loadSeries, saveSeries } = await import(join(DIST, 'controller/metrics/series-file.js'));
const { coarse } = await import(join(DIST, 'controller/metrics/packed-hour.js'));
const { REQUEST_QUANTILES, WORK_QUANTILES } = await import(join(DIST, 'controller/metrics/slot-recorder.js'));
const { OUTCOMES } = await import(join(DIST, 'cluster/metrics/outcomes.js'));

const DEPLOYMENTS = 200;
const SLOTS = 8_640;

const [task, file] = process.argv.slice(2);
const before = bytesInUse();
const store = new SeriesStore();
if (task === 'fill') fill();
else await loadSeries(file, store);
process.stdout.write(`${bytesInUse() - before}\n`);
if (task === 'fill') await saveSeries(file, store);

function fill() {
  const last = SeriesStore.slotOf(Date.now());
  for (let slot = last - SLOTS + 1; slot <= last; slot += 1) {
    store.forget(slot);
    const values = measured();
    for (let key = 0; key < DEPLOYMENTS; key += 1) store.write(`deployment Model${key}`, slot, values);
  }
}

function measured() {
  const upTo = (most) => Math.floor(Math.random() * most);
  return {
    ...Object.fromEntries(OUTCOMES.map((outcome) => [outcome, upTo(outcome === 'ok' ? 20_000 : 100)])),
    ...{
      readyReplicas: 5,
      queued: upTo(5),
      inFlight: upTo(30),
      batches: upTo(5_000),
      batchedCalls: upTo(20_000),
    },
    ...Object.fromEntries(
      [...REQUEST_QUANTILES, ...WORK_QUANTILES].map(([field]) => [field, coarse(Math.random() * 100)]),
    ),
  };
}

function bytesInUse() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
