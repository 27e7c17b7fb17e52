// A stream of 10,000 chunks from a Python generator, beside Ray Serve's: once from a loop that never gives way, so that
// chunks can be sent in bulk, and once with a turn of the event loop before each chunk, as where a model makes them.
import { prepared } from '../contestants/bare.mjs';
import { rayServe } from '../contestants/peers.mjs';
import { ask } from '../lib/ask.mjs';
import { ratiosByRound } from '../lib/statistics.mjs';
import { section, startHead, startOther } from './head.mjs';
import { judged } from './row.mjs';

const CHUNKS = 10_000;
const CHUNK_BYTES = 16;
const FIRST_CHUNK_TRIES = 20;
const TIMES = 3;

/** @param {import('./head.mjs').Context} context */
export async function streams(context) {
  const servers = new Map();
  const conf = section('stream', { backend: 'Stream', route: 'stream' });
  const start = { conf, route: 'stream', body: streamOf(1, false) };
  servers.set('standard library', await startHead(context, start));
  if (!('skipped' in (await prepared('modelserve', ['uvloop'])))) {
    servers.set('uvloop', await startHead(context, { ...start, requirements: ['uvloop'] }));
  }
  await startRay(context, servers);
  const samples = new Map(
    [...servers.keys()].map((name) => [name, { inBulk: [], withTurns: [], firstMs: [] }]),
  );
  for (let round = 1; round <= Math.max(TIMES, context.rounds); round += 1) {
    for (const [name, { port }] of servers) await measureOne(samples.get(name), port, round);
  }
  const ray = samples.get('ray');
  return ['standard library', 'uvloop'].flatMap((kind) =>
    samples.has(kind) ? rowsOf(kind, samples.get(kind), ray) : [],
  );
}

async function startRay(context, servers) {
  const environment = await rayServe.prepare();
  if ('skipped' in environment) return context.say(`streams: without Ray Serve: ${environment.skipped}`);
  try {
    servers.set('ray', await startOther(context, rayServe, environment));
  } catch (error) {
    context.say(`streams: without Ray Serve: ${error.message}`);
  }
}

async function measureOne(sample, port, round) {
  for (const turns of [false, true]) {
    const { body, totalMs } = await ask(streamTarget(port, CHUNKS, turns));
    if (body.length !== CHUNKS * CHUNK_BYTES)
      throw new Error(`expected a stream, got ${body.toString('utf8', 0, 200)}`);
    sample[turns ? 'withTurns' : 'inBulk'].push({ round, perSecond: (CHUNKS * 1000) / totalMs });
  }
  for (let attempt = 0; attempt < FIRST_CHUNK_TRIES; attempt += 1) {
    sample.firstMs.push((await ask(streamTarget(port, CHUNKS / 100, true))).firstByteMs);
  }
}

function streamTarget(port, chunks, turns) {
  return {
    port,
    path: '/stream',
    method: 'POST',
    contentType: 'application/json',
    body: streamOf(chunks, turns),
  };
}

function rowsOf(kind, sample, ray) {
  /** @param {{round: number, perSecond: number}} sample */
  const speed = ({ perSecond }) => perSecond;
  const pair = (key, how) => [
    judged({
      what: `stream ${how}, ${kind}: chunks`,
      unit: '/s',
      atLeast: 20_000,
      values: sample[key].map(speed),
    }),
    judged({
      what: `stream ${how}, ${kind}: against Ray Serve`,
      unit: '×',
      atLeast: 1.5,
      values: ray === undefined ? [] : ratiosByRound(sample[key], ray[key], speed),
    }),
  ];
  return [
    ...pair('inBulk', 'of 10,000 chunks in a tight loop'),
    ...pair('withTurns', 'of 10,000 chunks, a loop turn each'),
    judged({ what: `stream, ${kind}: first chunk`, unit: 'ms', atMost: 3, values: sample.firstMs }),
  ];
}

function streamOf(chunks, turns) {
  return Buffer.from(JSON.stringify({ chunks, turns }));
}
