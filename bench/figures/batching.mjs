// A model of 5 ms and 0.5 ms for each item: with 32 connections and batches of 16 it can answer 1,231 times a second.
import { jsonBody } from '../contestants/server.mjs';
import { closedLoop } from '../load/load.mjs';
import { MANY, SMALL } from '../matrix.mjs';
import { section, startHead } from './head.mjs';
import { judged } from './row.mjs';

const BATCH = 16;
const IDEAL_PER_SECOND = BATCH / (0.005 + 0.0005 * BATCH);

/** @param {import('./head.mjs').Context} context */
export async function batching(context) {
  const body = jsonBody(SMALL);
  const keys = { backend: 'Batched', route: 'batched', max_batch_size: BATCH, max_ongoing_requests: 64 };
  const head = await startHead(context, { conf: section('batched', keys), route: 'batched', body });
  const target = { port: head.port, path: '/batched', method: 'POST', contentType: 'application/json', body };
  const values = [];
  for (let round = 1; round <= context.rounds; round += 1) {
    const { requests, seconds } = await closedLoop(target, {
      connections: MANY.connections,
      seconds: context.seconds,
    });
    values.push((100 * requests) / seconds / IDEAL_PER_SECOND);
  }
  const what = `batching, 5 ms + 0.5 ms per item, c=32, batches of ${BATCH}: of the ideal 1,231 req/s`;
  return [judged({ what, unit: '%', atLeast: 95, values })];
}
