// docs/benchmarks.md from the results: nothing on the page is written by hand.
import { ratiosByRound, spreadOf } from '../lib/statistics.mjs';
import { cellName } from '../matrix.mjs';
import { duration, number, spread, table } from './tables.mjs';

const YARDSTICK = 'fastapi';

const TITLES = {
  models: 'Models on their way',
  metrics: 'What counting costs',
  dashboard: 'The dashboard of a large cluster',
};

/**
 * @param {object} results of the last whole run
 * @param {readonly object[]} groups results of figures that run by themselves
 * @returns {string} the whole page
 */
export function pageOf(results, groups = []) {
  const all = [...results.targets, ...groups.flatMap(({ targets }) => targets)];
  return `${[
    '# Benchmarks',
    intro(results, all),
    '![CPU time per request and requests per second](../bench/results/latest.svg)',
    tablesOf(results),
    ...groups.flatMap((group) => [`## ${TITLES[group.group]}`, measured(group), targets(group.targets)]),
    '## How it was measured',
    method(results),
  ].join('\n\n')}\n`;
}

/** @returns {string} what the terminal gets as well */
export function tablesOf(results) {
  if (results.contestants.length === 0) return targets(results.targets);
  return [
    '## Targets',
    targets(results.targets),
    ...results.cells.flatMap((cell) => [`## ${cellName(cell)}`, cellTable(cell)]),
    ...results.openLoop.flatMap((load) => [
      `## Open loop, ${number(load.ratePerSecond)} requests per second`,
      openTable(load),
    ]),
    '## Start and memory',
    contestantTable(results.contestants),
  ].join('\n\n');
}

function intro(results, all) {
  const { machine, versions } = results;
  const judged = all.filter(({ verdict }) => verdict !== 'not measured');
  const passed = judged.filter(({ verdict }) => verdict === 'pass').length;
  return [
    'Made by `npm run bench` from `bench/results/latest.json`; `npm run bench -- --report` makes it anew.',
    '',
    `Measured ${results.date.slice(0, 10)} at ${results.commit}: ${results.rounds} round(s) of ${results.secondsPerCell} s for each cell (${results.size}) on`,
    `${machine.cores} cores of ${machine.cpu}, ${number(machine.memoryBytes / 2 ** 30)} GiB, Linux ${machine.kernel}; load before the run ${number(machine.loadBefore)}.`,
    `Node ${versions.node}, Python ${versions.python}, Redis ${versions.redis}, load by ${versions.generator}.`,
    ...caution(results),
    '',
    `**${passed} of ${judged.length} targets that were measured are reached.**`,
  ].join('\n');
}

function measured(results) {
  const { date, commit, rounds, machine, group } = results;
  const when = `\`npm run bench -- ${group}\`, measured ${date.slice(0, 10)} at ${commit}: ${rounds} round(s); load before the run ${number(machine.loadBefore)}.`;
  return [when, ...caution(results)].join('\n');
}

/** What a reader has to know before trusting the figures. */
function caution({ rounds, machine }) {
  const doubts = [];
  if (rounds < 3) doubts.push('so few rounds show no spread');
  if (machine.loadBefore > 0.5)
    doubts.push('the machine had other work: trust CPU time and ratios, not requests per second');
  return doubts.length === 0 ? [] : ['', `Preliminary: ${doubts.join('; ')}.`];
}

function targets(rows) {
  const cells = rows.map((row) => [
    row.what,
    row.verdict,
    row.value === null ? '–' : `${spread({ median: row.value, min: row.min, max: row.max })} ${row.unit}`,
    Number.isFinite(row.target)
      ? `${row.comparison === 'at least' ? '≥' : '≤'} ${number(row.target)} ${row.unit}`
      : '–',
  ]);
  const said = new Map();
  for (const { what, note } of rows) if (note) said.set(note, [...(said.get(note) ?? []), what]);
  const notes = [...said].map(([note, whats]) => `* ${whats.join('; ')}: ${note}`);
  return [table(['figure', 'verdict', 'median (min–max)', 'target'], cells, 2), ...notes].join('\n\n');
}

/** @param {{samples: readonly import('../run.mjs').Sample[]}} cell */
function cellTable(cell) {
  const good = cell.samples.filter((sample) => !sample.failed && sample.cpuUsPerRequest !== null);
  const of = (name) => good.filter(({ contestant }) => contestant === name);
  const rows = namesIn(cell).map((name) => {
    const samples = of(name);
    if (samples.length === 0) return [name, failureOf(cell, name), '–', '–', '–', '–'];
    const pick = (key) => samples.map((sample) => sample[key]);
    const errors = pick('errors').reduce((sum, one) => sum + one, 0);
    const ratio = spreadOf(ratiosByRound(samples, of(YARDSTICK), (sample) => sample.requestsPerSecond));
    return [
      errors === 0 ? name : `${name} (${errors} errors)`,
      spread(spreadOf(pick('requestsPerSecond'))),
      spread(spreadOf(pick('cpuUsPerRequest'))),
      duration(spreadOf(pick('p50Us'))?.median),
      duration(spreadOf(pick('p99Us'))?.median),
      spread(ratio),
    ];
  });
  return table(['', 'req/s', 'CPU µs per request', 'p50', 'p99', `req/s ÷ ${YARDSTICK}`], rows);
}

function openTable(load) {
  const rows = load.samples.map((sample) => {
    if (sample.failed) return [sample.contestant, '–', '–', sample.failed, '–'];
    const { contestant, requestsPerSecond, p50Us, p99Us, errors } = sample;
    return [contestant, number(requestsPerSecond), duration(p50Us), duration(p99Us), String(errors)];
  });
  return table(['', 'answered per second', 'p50', 'p99', 'errors'], rows);
}

function contestantTable(entries) {
  const rows = entries.map((entry) => {
    if (entry.skipped) return [entry.name, `skipped: ${entry.skipped}`, '–', '–', '–', '–'];
    const { processes, rssBytes, pssBytes } = entry.memory;
    const versions = Object.entries(entry.versions).map(([name, version]) => `${name} ${version}`);
    const proportional = pssBytes === null ? '–' : number(pssBytes / 1e6);
    const startup = `${number(entry.startupMs / 1000)} s`;
    const described = `${entry.what} (${versions.join(', ')})`;
    return [entry.name, described, startup, String(processes), number(rssBytes / 1e6), proportional];
  });
  return table(['', 'what', 'start', 'processes', 'RSS MB', 'PSS MB'], rows, 2);
}

function method({ secondsPerCell, versions }) {
  return [
    '* Everyone runs the same no-op: parse the JSON body, answer `{"status": 1}`. Nobody writes an access log. Deadlines, request ids and counters are on in modelserve, as always.',
    '* The 30 B body is JSON with one string in it, and so are the larger ones; MLServer gets it in the envelope of its protocol. Contestants that answer no GET with a body are left out of those cells.',
    '* All contestants are up at the same time; a round loads one after the other in each cell, so that neighbours in time are compared. Ratios are taken within a round; their median and spread stand here.',
    '* CPU time is user and system time of all processes of a contestant, from `/proc`, divided by the answers; the load generator is not in it. It is the figure to trust on a machine that does other things.',
    `* Closed loop: ${versions.generator}, one thread, each connection sends its next request when the last is answered, ${secondsPerCell} s. Open loop: requests are due at fixed moments and latency counts from then; the generator's own timer has a grain of 1 ms, the same for all.`,
    '* Start is from the start of the process to the first good answer, environments and packages already installed. Memory is taken after the warm-up, at rest; RSS counts shared pages once for each process, PSS once in all.',
  ].join('\n');
}

function namesIn(cell) {
  return [...new Set(cell.samples.map(({ contestant }) => contestant))];
}

function failureOf(cell, name) {
  const failed = cell.samples.find((sample) => sample.contestant === name && sample.failed);
  return failed ? `failed: ${failed.failed}` : 'nothing answered';
}
