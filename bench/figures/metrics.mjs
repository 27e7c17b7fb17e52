// What counting costs: modelserve as it is, read by a scraper every second, against the same program in which nothing is
// counted. The two take turns, so that whatever else the machine does befalls both.
import { cpSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { jsonBody } from '../contestants/server.mjs';
import { ROOT } from '../lib/paths.mjs';
import { cpuBetweenUs, cpuOf } from '../lib/process-tree.mjs';
import { closedLoop } from '../load/load.mjs';
import { MANY, SMALL } from '../matrix.mjs';
import { section, startHead } from './head.mjs';
import { judged } from './row.mjs';

const PAIRS = 20;
const SCRAPE_MS = 1_000;
const WITHOUT_COUNTS = `import * as counting from './counting-meter.js';
export * from './counting-meter.js';
export class DeploymentMeter extends counting.DeploymentMeter {
  count() {}
  took() {}
  worked() {}
  moved() {}
  countRetry() {}
  countRefusal() {}
}
`;

/** @param {import('./head.mjs').Context} context */
export async function metrics(context) {
  const body = jsonBody(SMALL);
  const conf = [
    '[MODEL SERVE]',
    'metrics_open = on',
    '',
    ...section('noop', { backend: 'NoOp', route: 'noop' }),
  ];
  const project = { conf, route: 'noop', body };
  const on = await startHead(context, project);
  const off = await startHead(context, { ...project, cli: programWithoutCounts(context) });
  await requireDifference(on, off);
  const pairs = [];
  for (let round = 1; round <= PAIRS; round += 1) {
    const turns = round % 2 === 0 ? [on, off] : [off, on];
    const pair = {};
    for (const head of turns)
      pair[head === on ? 'on' : 'off'] = await loaded(head, head === on, context.seconds);
    pairs.push(pair);
  }
  const note = `${PAIRS} pairs in turn, each of ${context.seconds} s a side; with metrics also read every second`;
  return [
    judged({
      ...{ what: 'requests a second with metrics against without, c=32', unit: '×', atLeast: 0.97, note },
      values: pairs.map((pair) => pair.on.perSecond / pair.off.perSecond),
    }),
    judged({
      ...{ what: 'CPU per request that metrics add, c=32', unit: 'µs', atMost: 2 },
      values: pairs.map((pair) => pair.on.cpuUs - pair.off.cpuUs),
    }),
  ];
}

/** The built program in a folder of its own, with a meter that does nothing. @returns {string} its command line */
function programWithoutCounts({ workspace }) {
  const folder = join(workspace.newFolder(), 'program');
  mkdirSync(folder);
  for (const name of ['dist', 'package.json'])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of ['src', 'templates', 'node_modules']) symlinkSync(join(ROOT, name), join(folder, name));
  const meter = join(folder, 'dist', 'ingress', 'deployment-meter.js');
  renameSync(meter, join(folder, 'dist', 'ingress', 'counting-meter.js'));
  writeFileSync(meter, WITHOUT_COUNTS);
  return join(folder, 'dist', 'cli', 'main.js');
}

/** Both were asked until they answered: one has counted that, and the other has not. */
async function requireDifference(on, off) {
  const [counted, uncounted] = await Promise.all([okOf(on), okOf(off)]);
  if (counted > 0 && uncounted === 0) return;
  throw new Error(`expected that only one side counts, found ${counted} and ${uncounted} requests`);
}

async function loaded(head, isScraped, seconds) {
  const body = jsonBody(SMALL);
  const target = { port: head.port, path: '/noop', method: 'POST', contentType: 'application/json', body };
  const scraper = isScraped ? setInterval(() => void scrape(head).catch(() => undefined), SCRAPE_MS) : null;
  const before = cpuOf(head.tree);
  const { requests, seconds: taken } = await closedLoop(target, { connections: MANY.connections, seconds });
  const cpuUs = cpuBetweenUs(before, cpuOf(head.tree)) / requests;
  if (scraper !== null) clearInterval(scraper);
  return { perSecond: requests / taken, cpuUs };
}

async function okOf(head) {
  const text = await scrape(head);
  return Number(/requests_total\{[^}]*outcome="ok"\} (\d+)/.exec(text)?.[1] ?? 0);
}

function scrape({ port }) {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/-/metrics' }, (answer) => {
      let text = '';
      answer.on('data', (part) => {
        text += part;
      });
      answer.on('end', () => resolve(text));
    }).once('error', reject);
  });
}
