// The results of a run as they are committed: what was measured, where, with which versions.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { RESULTS, ROOT } from './lib/paths.mjs';
import { closedLoopGenerator } from './load/load.mjs';
import { pageOf } from './report/page.mjs';
import { plotOf } from './report/plot.mjs';

/** Grows when what is in the files changes its meaning. */
const FORMAT = 1;
export const LATEST = join(RESULTS, 'latest.json');
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

/** Writes the results under their date and as the latest, and what is made from them. */
export function writeResults(results) {
  mkdirSync(RESULTS, { recursive: true });
  const text = `${JSON.stringify(results, null, 1)}\n`;
  writeFileSync(join(RESULTS, `${results.date.slice(0, 10)}.json`), text);
  writeFileSync(LATEST, text);
  writeReport();
}

/** Makes the plot and the page anew from the latest results. */
export function writeReport() {
  const results = JSON.parse(readFileSync(LATEST, 'utf8'));
  if (results.format !== FORMAT) throw new Error(`${LATEST}: format ${results.format}, expected ${FORMAT}`);
  writeFileSync(PLOT, plotOf(results));
  writeFileSync(PAGE, pageOf(results));
}

function firstLine(command, args) {
  const { stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return (stdout ?? '').split('\n')[0]?.trim() || 'unknown';
}
