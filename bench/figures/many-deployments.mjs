// The cost of a large routing table: the throughput of one deployment alone and among a thousand.
import { jsonBody } from '../contestants/server.mjs';
import { ratiosByRound } from '../lib/statistics.mjs';
import { closedLoop } from '../load/load.mjs';
import { MANY, SMALL } from '../matrix.mjs';
import { section, startHead } from './head.mjs';
import { judged } from './row.mjs';

const OTHERS = 1000;
const MIN_ROUNDS = 4;

/** @param {import('./head.mjs').Context} context */
export async function manyDeployments(context) {
  const real = section('real', { backend: 'NoOp', route: 'real' });
  const others = Array.from({ length: OTHERS }, (_, index) =>
    section(`other${index}`, { backend: 'NoOp', route: `team/other${index}`, replicas: 0 }),
  );
  const alone = await startHead(context, { conf: real, route: 'real' });
  const among = await startHead(context, { conf: [...real, ...others.flat()], route: 'real' });
  context.say(`${OTHERS + 1} deployments: ready in ${Math.round(among.startupMs)} ms`);
  const samples = { alone: [], among: [] };
  // Round 0 warms both up; the order turns with each round, so that none is always the first.
  for (let round = 0; round <= Math.max(MIN_ROUNDS, context.rounds); round += 1) {
    const order = round % 2 === 0 ? ['alone', 'among'] : ['among', 'alone'];
    for (const name of order) {
      const { port } = name === 'alone' ? alone : among;
      const target = {
        port,
        path: '/real',
        method: 'POST',
        contentType: 'application/json',
        body: jsonBody(SMALL),
      };
      const { requests, seconds } = await closedLoop(target, {
        connections: MANY.connections,
        seconds: context.seconds,
      });
      if (round > 0) samples[name].push({ round, rate: requests / seconds });
    }
  }
  const values = ratiosByRound(samples.among, samples.alone, (sample) => sample.rate);
  const what = `req/s with ${OTHERS.toLocaleString('en')} deployments more, against one`;
  return [judged({ what, unit: '×', atLeast: 0.95, values })];
}
