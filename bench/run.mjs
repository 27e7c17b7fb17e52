// One run: all contestants are started, then rounds go through the cells, in each the contestants one after the other.
// So whatever else the machine does falls on neighbours in time, and ratios are taken within a round.
import { startContestant, targetOf } from './contestants/server.mjs';
import { ask } from './lib/ask.mjs';
import { cpuBetweenUs, cpuOf, memoryOf } from './lib/process-tree.mjs';
import { Workspace } from './lib/workspace.mjs';
import { closedLoop, openLoop } from './load/load.mjs';
import { cellName, MANY, SMALL } from './matrix.mjs';

const WARM_UP_S = 1;
const OPEN_LOOP_CONNECTIONS = 64;

/**
 * @typedef {object} Sample
 * @property {string} contestant
 * @property {number} round
 * @property {number} requestsPerSecond
 * @property {number} p50Us
 * @property {number} p99Us
 * @property {number | null} cpuUsPerRequest over its whole process tree; null: nothing was answered
 * @property {number} errors
 * @property {string} [failed] why there are no figures
 *
 * @typedef {object} Entry a contestant in the results
 * @property {string} name
 * @property {string} what
 * @property {Record<string, string>} [versions]
 * @property {string} [skipped] why it did not take part
 * @property {number} [startupMs]
 * @property {{processes: number, rssBytes: number, pssBytes: number | null}} [memory] after the warm-up, at rest
 */

/**
 * Runs the matrix.
 * @param {{plan: import('./matrix.mjs').Plan,
 *   contestants: readonly import('./contestants/server.mjs').Contestant[], say: (line: string) => void}} options
 * @returns {Promise<{contestants: Entry[], cells: object[], openLoop: object[]}>}
 */
export async function runMatrix({ plan, contestants, say }) {
  const workspace = new Workspace();
  const running = [];
  try {
    const entries = [];
    for (const contestant of contestants) entries.push(await enter({ contestant, workspace, running, say }));
    const cells = plan.cells.map((cell) => ({ ...cell, samples: [] }));
    for (let round = 1; round <= plan.rounds; round += 1)
      await runRound({ round, plan, cells, running, say });
    return { contestants: entries, cells, openLoop: await runOpenLoops({ plan, running, say }) };
  } finally {
    await workspace.end();
  }
}

/** Prepares, starts and warms one up; who fails is in the results with the reason. */
async function enter({ contestant, workspace, running, say }) {
  const { name, what } = contestant;
  const skip = (reason) => {
    say(`${name}: skipped: ${reason}`);
    return { name, what, skipped: reason };
  };
  const prepared = await contestant.prepare();
  if ('skipped' in prepared) return skip(prepared.skipped);
  const folder = workspace.newFolder();
  const start = () => startContestant(contestant, prepared, { folder, own: (one) => workspace.own(one) });
  try {
    if (contestant.preparesAtStart) await (await start()).stop();
    const one = await start();
    running.push(one);
    await closedLoop(targetOf(one, 'POST', SMALL), { connections: MANY.connections, seconds: WARM_UP_S });
    const startupMs = Math.round(one.startupMs);
    say(`${name}: ready in ${startupMs} ms`);
    return { name, what, versions: prepared.versions, startupMs, memory: memoryOf(one.tree) };
  } catch (error) {
    return skip(error.message);
  }
}

async function runRound({ round, plan, cells, running, say }) {
  for (const cell of cells) {
    for (const one of running.filter(({ contestant }) => contestant.methods.includes(cell.method))) {
      const load = { connections: cell.connections, seconds: plan.secondsPerCell };
      const sample = await measure(one, cell, (target) => closedLoop(target, load));
      cell.samples.push({ ...sample, round });
      say(`round ${round}/${plan.rounds}  ${cellName(cell)}  ${one.contestant.name}: ${inShort(sample)}`);
    }
  }
}

async function runOpenLoops({ plan, running, say }) {
  const results = plan.openLoopRates.map((ratePerSecond) => ({ ratePerSecond, samples: [] }));
  for (const result of results) {
    for (const one of running) {
      const load = {
        connections: OPEN_LOOP_CONNECTIONS,
        seconds: plan.secondsPerCell,
        ratePerSecond: result.ratePerSecond,
      };
      const sample = await measure(one, MANY, (target) => openLoop(target, load));
      result.samples.push({ ...sample, round: 1 });
      say(`open loop ${result.ratePerSecond}/s  ${one.contestant.name}: ${inShort(sample)}`);
    }
  }
  return results;
}

/** @returns {Promise<Partial<Sample> & {contestant: string}>} of one contestant that is loaded as `load` says */
async function measure(one, cell, load) {
  const target = targetOf(one, cell.method, cell.bodyBytes);
  const { name } = one.contestant;
  try {
    const first = await ask(target);
    if (first.status !== 200)
      throw new Error(`status ${first.status}: ${first.body.toString('utf8', 0, 200)}`);
    const before = cpuOf(one.tree);
    const { requests, seconds, p50Us, p99Us, errors } = await load(target);
    const cpuUs = cpuBetweenUs(before, cpuOf(one.tree));
    return {
      contestant: name,
      requestsPerSecond: rounded(requests / seconds),
      p50Us,
      p99Us,
      cpuUsPerRequest: requests === 0 ? null : rounded(cpuUs / requests),
      errors: errors.status + errors.timeout + errors.socket,
    };
  } catch (error) {
    return { contestant: name, failed: error.message };
  }
}

function rounded(value) {
  return Math.round(value * 10) / 10;
}

function inShort(sample) {
  if (sample.failed) return `failed: ${sample.failed}`;
  const errors = sample.errors === 0 ? '' : `, ${sample.errors} errors`;
  return `${Math.round(sample.requestsPerSecond)}/s, p50 ${sample.p50Us} µs, CPU ${sample.cpuUsPerRequest} µs${errors}`;
}
