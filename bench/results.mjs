// The results of a run as they are committed: what was measured, where, with which versions.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { RESULTS, ROOT } from './lib/paths.mjs';
import { closedLoopGenerator } from './load/load.mjs';
import { pageOf } from './report/page.mjs';
import { plotOf } from './report/plot.mjs';

/** Grows when what is in the files changes its meaning. */
const FORMAT = 1;
export const LATEST = join(RESULTS, 'latest.json');
/** Figures that run by themselves, as the page has them: each with results of its own. */
const GROUPS = ['models', 'metrics', 'dashboard'];
export const PLOT = join(RESULTS, 'latest.svg');
export const PAGE = join(ROOT, 'docs', 'benchmarks.md');

/** What is known before a run: the machine at rest, and what is installed. */
export function circumstances(plan) {
  const [cpu] = cpus();
  return {
    format: FORMAT,
    date: new Date().toISOString(),
    commit: firstLine('git', ['-C', ROOT, 'describe', '--always', '--dirty', '--exclude', '*']),
    size: plan.size,
    rounds: plan.rounds,
    secondsPerCell: plan.secondsPerCell,
    machine: {
      cpu: cpu?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryBytes: totalmem(),
      kernel: release(),
      loadBefore: loadavg()[0] ?? 0,
    },
    versions: {
      node: process.versions.node,
      python: firstLine('python3', ['--version']).replace('Python ', ''),
      redis: firstLine('redis-server', ['--version']).match(/v=(\S+)/)?.[1] ?? 'none',
      generator: closedLoopGenerator(),
    },
  };
}

/** Writes the results under their date and as the latest, those of a group beside them, and what is made from them. */
export function writeResults({ targets, contestants, cells, openLoop, ...known }) {
  mkdirSync(RESULTS, { recursive: true });
  if (contestants.length > 0) {
    const whole = { ...known, contestants, cells, openLoop, targets: targets.filter(({ group }) => !group) };
    write(join(RESULTS, `${known['date'].slice(0, 10)}.json`), whole);
    write(LATEST, whole);
  }
  for (const group of GROUPS) {
    const own = targets.filter((row) => row.group === group);
    if (own.length > 0) write(groupFile(group), { ...known, group, targets: own });
  }
  writeReport();
}

/** Makes the plot and the page anew from the latest results. */
export function writeReport() {
  const results = read(LATEST);
  writeFileSync(PLOT, plotOf(results));
  writeFileSync(PAGE, pageOf(results, groupResults()));
}

/** What was last measured of each group, in the order of the page. */
export function groupResults() {
  return GROUPS.map(groupFile)
    .filter((path) => existsSync(path))
    .map(read);
}

function groupFile(group) {
  return join(RESULTS, `${group}.json`);
}

function write(path, results) {
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
}

function read(path) {
  const results = JSON.parse(readFileSync(path, 'utf8'));
  if (results.format !== FORMAT) throw new Error(`${path}: format ${results.format}, expected ${FORMAT}`);
  return results;
}

function firstLine(command, args) {
  const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return (stdout ?? '').split('\n')[0]?.trim() || 'unknown';
}
