// 10 MB echoed: with a retry the ingress keeps the body until the answer begins, without one it only passes it through.
import { fastify, prepared } from '../contestants/bare.mjs';
import { ratiosByRound } from '../lib/statistics.mjs';
import { closedLoop } from '../load/load.mjs';
import { section, startHead, startOther } from './head.mjs';
import { judged } from './row.mjs';

const BODY = Buffer.alloc(10_000_000, 'x');
const CONNECTIONS = 4;

/** @param {import('./head.mjs').Context} context */
export async function largeBodies(context) {
  const bare = await startOther(context, fastify, await fastify.prepare());
  const rows = [];
  for (const { kind, requirements } of [
    { kind: 'standard library', requirements: undefined },
    { kind: 'uvloop', requirements: ['uvloop'] },
  ]) {
    if (requirements && 'skipped' in (await prepared('modelserve', requirements))) continue;
    const head = await startHead(context, {
      conf: [
        ...section('whole', { backend: 'Echo', route: 'whole', retries: 1 }),
        ...section('through', { backend: 'Echo', route: 'through', retries: 0 }),
      ],
      route: 'through',
      ...(requirements ? { requirements } : {}),
    });
    rows.push(...(await compare(context, { bare, head, kind })));
  }
  return rows;
}

async function compare(context, { bare, head, kind }) {
  const samples = { bare: [], whole: [], through: [] };
  for (let round = 0; round <= context.rounds; round += 1) {
    for (const [name, port, path] of [
      ['bare', bare.port, '/echo'],
      ['whole', head.port, '/whole'],
      ['through', head.port, '/through'],
    ]) {
      const target = { port, path, method: 'POST', contentType: 'application/octet-stream', body: BODY };
      const { requests, seconds } = await closedLoop(target, {
        connections: CONNECTIONS,
        seconds: context.seconds,
      });
      if (round > 0) samples[name].push({ round, rate: requests / seconds }); // round 0 warms up
      context.say(`10 MB echo, ${kind}, ${name}: ${(requests / seconds).toFixed(1)}/s`);
    }
  }
  const row = (what, name, atLeast) => {
    const values = ratiosByRound(samples[name], samples.bare, (sample) => sample.rate);
    return judged({ what: `10 MB echo against bare fastify, ${what}, ${kind}`, unit: '×', atLeast, values });
  };
  return [row('whole (retries = 1)', 'whole', 0.3), row('cut through (retries = 0)', 'through', 0.6)];
}
