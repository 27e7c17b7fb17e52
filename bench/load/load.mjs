// Puts a contestant under load from a process of its own: wrk where it is installed, because it takes the least of the
// machine that both share, else this project's generator.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from '../lib/processes.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** What a load may take beyond its time: an answer on its way, and the generator's own start and end. */
const GRACE_MS = 40_000;
const ANSWER_TIMEOUT_S = 30;

/**
 * @typedef {object} LoadFigures
 * @property {number} requests good answers
 * @property {number} seconds measured
 * @property {number} p50Us
 * @property {number} p99Us
 * @property {{status: number, timeout: number, socket: number}} errors
 */

/** @returns {string} the generator of closed loops on this machine, with its version */
export function closedLoopGenerator() {
  const { stdout } = spawnSync('wrk', ['--version'], { encoding: 'utf8' });
  return stdout ? (stdout.match(/wrk \S+/)?.[0] ?? 'wrk') : 'bench/load/generator.mjs';
}

/**
 * Every connection sends its next request when the last is answered.
 * @param {import('../lib/ask.mjs').Target} target
 * @param {{connections: number, seconds: number}} load seconds: whole
 * @returns {Promise<LoadFigures>}
 */
export function closedLoop(target, load) {
  return withBody(target, (bodyFile) =>
    closedLoopGenerator().startsWith('wrk')
      ? runWrk(target, load, bodyFile)
      : runGenerator(target, load, bodyFile),
  );
}

/**
 * Requests are due at fixed moments, whatever the server does, and latency counts from the moment one was due.
 * @param {{connections: number, seconds: number, ratePerSecond: number}} load
 * @returns {Promise<LoadFigures>}
 */
export function openLoop(target, load) {
  return withBody(target, (bodyFile) => runGenerator(target, load, bodyFile));
}

async function withBody(target, run) {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-load-'));
  try {
    const bodyFile = join(folder, 'body');
    writeFileSync(bodyFile, target.body);
    return await run(bodyFile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runWrk(target, load, bodyFile) {
  const args = [
    '-t1',
    `-c${load.connections}`,
    `-d${load.seconds}s`,
    `--timeout=${ANSWER_TIMEOUT_S}s`,
    '--latency',
  ];
  const url = `http://127.0.0.1:${target.port}${target.path}`;
  const { output } = await runToEnd(
    'wrk',
    [...args, '-s', join(HERE, 'wrk.lua'), url, '--', target.method, target.contentType, bodyFile],
    { timeoutMs: load.seconds * 1000 + GRACE_MS },
  );
  return figures(output);
}

async function runGenerator(target, load, bodyFile) {
  const { port, path, method, contentType } = target;
  const settings = {
    port,
    path,
    method,
    contentType,
    bodyFile,
    answerTimeoutMs: ANSWER_TIMEOUT_S * 1000,
    ...load,
  };
  const { output } = await runToEnd(
    process.execPath,
    [join(HERE, 'generator.mjs'), JSON.stringify(settings)],
    {
      timeoutMs: load.seconds * 1000 + GRACE_MS,
    },
  );
  return figures(output);
}

/** @returns {LoadFigures} */
function figures(output) {
  const line = output.match(/^FIGURES (.*)$/m)?.[1];
  if (line === undefined) throw new Error(`the load generator failed: ${output.trim().slice(-500)}`);
  const raw = JSON.parse(line);
  return raw;
}
