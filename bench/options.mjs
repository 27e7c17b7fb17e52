import { parseArgs } from 'node:util';
import { CONTESTANTS } from './contestants/all.mjs';
import { FIGURES } from './figures/all.mjs';
import { PLANS } from './matrix.mjs';

export const USAGE = `npm run bench -- [options]: modelserve beside other servers, on this machine, in one run

  --quick              three cells, one round: about three minutes, one without the figures
  --full               every cell: GET and POST, 1, 32 and 256 connections, 30 B, 100 kB and 10 MB; about an hour
  --only NAME,…        these contestants only; the others keep out of the results
  --figures NAME,…     these special figures only, or none
  --rounds N           rounds of the matrix
  --seconds N          seconds for each cell
  --keep               write the results even of a quick run or a part: bench/results/<date>.json, latest.json, the
                       plot and docs/benchmarks.md; a whole run does so anyway
  --report             nothing is measured: write the plot and docs/benchmarks.md from bench/results/latest.json
  --help

  models               the figures of that group alone, kept by themselves: how models come, are listed and opened
  metrics              what counting requests costs: with metrics and without, in turn
  dashboard            the dashboard of a large cluster in a browser, and what its head keeps

contestants: ${CONTESTANTS.map(({ name }) => name).join(', ')}
figures: ${FIGURES.map(({ name }) => name).join(', ')}
`;

const MAX_NUMBER = 100;

/**
 * @param {readonly string[]} args
 * @returns {{mode: 'help' | 'report'} | {mode: 'run', plan: import('./matrix.mjs').Plan, keep: boolean, isGroups: boolean,
 *   contestants: readonly import('./contestants/server.mjs').Contestant[],
 *   figures: readonly import('./figures/all.mjs').Figure[]}}
 * @throws {Error} what cannot be understood, with what could
 */
export function readOptions(args) {
  const flag = { type: /** @type {const} */ ('boolean'), default: false };
  const text = { type: /** @type {const} */ ('string') };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    args: [...args],
    options: {
      quick: flag,
      full: flag,
      only: text,
      figures: text,
      rounds: text,
      seconds: text,
      keep: flag,
      report: flag,
      help: flag,
    },
  });
  if (values.help) return { mode: 'help' };
  if (values.report) return { mode: 'report' };
  if (values.quick && values.full) throw new Error('--quick and --full: one of them');
  const plan = PLANS[values.quick ? 'quick' : values.full ? 'full' : 'default'];
  return {
    mode: 'run',
    keep: values.keep === true,
    isGroups: positionals.length > 0,
    plan: {
      ...plan,
      rounds: wholeNumber('--rounds', values.rounds, plan.rounds),
      secondsPerCell: wholeNumber('--seconds', values.seconds, plan.secondsPerCell),
    },
    contestants: positionals.length > 0 ? [] : named('--only', CONTESTANTS, values.only),
    figures: positionals.length > 0 ? grouped(positionals) : named('--figures', FIGURES, values.figures),
  };
}

function wholeNumber(option, text, otherwise) {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= MAX_NUMBER) return value;
  throw new Error(`${option}: expected a whole number from 1 to ${MAX_NUMBER}, found ${text}`);
}

function grouped(groups) {
  const there = [...new Set(FIGURES.flatMap(({ group }) => group ?? []))];
  const unknown = groups.find((group) => !there.includes(group));
  if (unknown !== undefined) throw new Error(`no group ${unknown}; there is ${there.join(', ')}`);
  return FIGURES.filter(({ group }) => groups.includes(group));
}

function named(option, all, text) {
  if (text === undefined) return all;
  if (text === 'none') return [];
  const names = text.split(',');
  const unknown = names.find((name) => !all.some((one) => one.name === name));
  if (unknown !== undefined) {
    throw new Error(`${option}: no ${unknown}; there are ${all.map((one) => one.name).join(', ')}`);
  }
  return all.filter((one) => names.includes(one.name));
}
