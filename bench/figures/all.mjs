// The targets that need an arrangement of their own. A new one is a file beside this one and a line in FIGURES; `group` makes
// it run with others that belong together.
import { Workspace } from '../lib/workspace.mjs';
import { batching } from './batching.mjs';
import { cachedModel } from './cached-model.mjs';
import { dashboard } from './dashboard.mjs';
import { environments } from './environments.mjs';
import { largeBodies } from './large-bodies.mjs';
import { listFastRows } from './list-fast.mjs';
import { manyDeployments } from './many-deployments.mjs';
import { memory } from './memory.mjs';
import { metrics } from './metrics.mjs';
import { overload } from './overload.mjs';
import { preloadOpen } from './preload-open.mjs';
import { receive } from './receive.mjs';
import { judged } from './row.mjs';
import { streaming } from './streaming.mjs';
import { streams } from './streams.mjs';
import { travel } from './travel.mjs';

/**
 * @typedef {object} Figure
 * @property {string} name as `--figures` takes it
 * @property {string} [group] runs it together with the others of that group: `npm run bench -- models`
 * @property {string} what stands for its rows when it fails
 * @property {(context: import('./head.mjs').Context) => Promise<import('./row.mjs').Row[]>} run
 */

/** @type {readonly Figure[]} */
export const FIGURES = [
  { name: 'large-bodies', what: '10 MB echoed against bare fastify', run: largeBodies },
  { name: 'many-deployments', what: 'throughput of one deployment among a thousand', run: manyDeployments },
  { name: 'batching', what: 'batching efficiency', run: batching },
  { name: 'streams', what: 'stream of 10,000 chunks', run: streams },
  { name: 'memory', what: 'memory at rest', run: memory },
  { name: 'overload', what: '400 requests at once, queue bound 100', run: overload },
  { name: 'environments', what: 'environments, and changes that need none', run: environments },
  {
    name: 'cached-model',
    group: 'models',
    what: 'a cached 2 GiB model until it can be opened',
    run: cachedModel,
  },
  { name: 'receive', group: 'models', what: 'a 2 GiB file from a web server', run: receive },
  { name: 'streaming', group: 'models', what: 'a model that is read while it comes', run: streaming },
  { name: 'list-fast', group: 'models', what: 'listing a million keys', run: listFastRows },
  { name: 'travel', what: 'packages and models on their way', run: travel },
  { name: 'metrics', group: 'metrics', what: 'what counting costs', run: metrics },
  { name: 'dashboard', group: 'dashboard', what: 'the dashboard of a large cluster', run: dashboard },
  { name: 'preload-open', group: 'models', what: 'opens with the preload library', run: preloadOpen },
];

/**
 * Runs figures one after the other; what one started is stopped before the next.
 * @param {{figures: readonly Figure[], plan: import('../matrix.mjs').Plan, say: (line: string) => void}} options
 * @returns {Promise<import('./row.mjs').Row[]>} one that fails gives a row that says why
 */
export async function runFigures({ figures, plan, say }) {
  const rows = [];
  for (const figure of figures) {
    say(`figure ${figure.name} …`);
    const measured = await runOne(figure, { rounds: plan.rounds, seconds: plan.secondsPerCell, say });
    for (const row of measured)
      say(`  ${row.what}: ${row.value?.toFixed(2) ?? '–'} ${row.unit}: ${row.verdict}`);
    rows.push(...measured.map((row) => (figure.group === undefined ? row : { ...row, group: figure.group })));
  }
  return rows;
}

async function runOne({ what, run }, limits) {
  const workspace = new Workspace();
  try {
    return await run({ ...limits, workspace });
  } catch (error) {
    return [judged({ what, unit: '', values: [], note: error.message })];
  } finally {
    await workspace.end();
  }
}
