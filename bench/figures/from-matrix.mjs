// The targets that the matrix itself answers.
import { ratiosByRound } from '../lib/statistics.mjs';
import { cellName, MANY, MANY_GET, ONE } from '../matrix.mjs';
import { judged } from './row.mjs';

const UVLOOP = 'modelserve-uvloop';
const PYTHON = 'modelserve-python';
const rate = (sample) => sample.requestsPerSecond;
const cpu = (sample) => sample.cpuUsPerRequest;
const p50 = (sample) => sample.p50Us;

/**
 * @param {{cells: readonly object[]}} results of the matrix
 * @returns {import('./row.mjs').Row[]}
 */
export function rowsFromMatrix(results) {
  const of = (cell, name) => samplesOf(results, cell, name);
  const ratios = (cell, above, below, pick) => ratiosByRound(of(cell, above), of(cell, below), pick);
  const ratio = (what, atLeast, values) => judged({ what, unit: '×', atLeast, values });
  const kinds = [
    { kind: 'uvloop', name: UVLOOP, cpuUs: 60, cpuShare: 0.8, speed: 2 },
    { kind: 'standard library', name: PYTHON, cpuUs: 90, cpuShare: 1, speed: 0.9 },
  ];
  return [
    ...kinds.flatMap(({ kind, name, cpuUs, cpuShare, speed }) => [
      judged({
        what: `CPU per request, c=32, ${kind}`,
        unit: 'µs',
        atMost: cpuUs,
        values: of(MANY, name).map(cpu),
      }),
      judged({
        what: `CPU per request, c=32, ${kind}, against FastAPI`,
        unit: '×',
        atMost: cpuShare,
        values: ratios(MANY, name, 'fastapi', cpu),
      }),
      ratio(`req/s, c=32, ${kind}, against FastAPI on uvicorn`, speed, ratios(MANY, name, 'fastapi', rate)),
    ]),
    ...kinds.flatMap(({ kind, name }) => [
      ratio(`req/s against Ray Serve, c=1, ${kind}`, 20, ratios(ONE, name, 'ray-serve', rate)),
      ratio(`req/s against Ray Serve, c=32, ${kind}`, 40, ratios(MANY, name, 'ray-serve', rate)),
    ]),
    ratio('req/s against bare fastify, c=32, uvloop', 0.65, ratios(MANY, UVLOOP, 'fastify', rate)),
    ...kinds.map(({ kind, name }) =>
      ratio(
        `req/s of GET with body against POST, c=32, ${kind}`,
        0.95,
        ratiosByRound(of(MANY_GET, name), of(MANY, name), rate),
      ),
    ),
    ...kinds.map(({ kind, name }) =>
      judged({
        what: `p50 added at c=1 over the handler on bare uvicorn, ${kind}`,
        unit: 'µs',
        atMost: 150,
        values: added(of(ONE, name), of(ONE, 'uvicorn')),
      }),
    ),
  ];
}

function samplesOf(results, cell, name) {
  const found = results.cells.find((one) => cellName(one) === cellName(cell));
  return (found?.samples ?? []).filter(
    (one) => one.contestant === name && !one.failed && one.cpuUsPerRequest !== null,
  );
}

function added(samples, base) {
  return samples.flatMap((sample) => {
    const other = base.find(({ round }) => round === sample.round);
    return other === undefined ? [] : [p50(sample) - p50(other)];
  });
}
