// What all contestants have in common: a program that is started on a free port, with what it takes to send it a request.
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { askUntilReady } from '../lib/ask.mjs';
import { freePorts } from '../lib/ports.mjs';
import { endTree, startMarked } from '../lib/processes.mjs';

const START_TIMEOUT_MS = 120_000;
const SMALLEST_BODY_BYTES = 30;

/**
 * @typedef {object} Contestant
 * @property {string} name as `--only` takes it
 * @property {string} what one line for the page
 * @property {readonly string[]} methods it answers with a body
 * @property {string} path
 * @property {(sizeBytes: number) => Buffer} body JSON of about that size
 * @property {boolean} [preparesAtStart] its first start installs what later ones find: it is started once before it counts
 * @property {() => Promise<Prepared | {skipped: string}>} prepare
 * @property {(prepared: Prepared, port: number, folder: string) => Promise<Command> | Command} command
 *
 * @typedef {{versions: Record<string, string>, bin?: string}} Prepared bin: its programs' folder
 * @typedef {{command: string, args: string[], cwd?: string, env?: NodeJS.ProcessEnv}} Command
 *
 * @typedef {object} Running
 * @property {Contestant} contestant
 * @property {number} port
 * @property {{rootPids: number[], mark: string}} tree
 * @property {number} startupMs from the start of its process to the first good answer
 * @property {() => Promise<void>} stop
 */

/** JSON of exactly `sizeBytes` with one string in it, as a picture comes in base64. */
export function jsonBody(sizeBytes) {
  const empty = '{"input": ""}';
  return Buffer.from(`{"input": "${'x'.repeat(Math.max(0, sizeBytes - empty.length))}"}`);
}

/** @returns {import('../lib/ask.mjs').Target} */
export function targetOf(running, method, sizeBytes) {
  const { contestant, port } = running;
  const body = contestant.body(sizeBytes);
  return { port, path: contestant.path, method, contentType: 'application/json', body };
}

/**
 * Starts a contestant and waits until it answers.
 * @param {Contestant} contestant
 * @param {Prepared} prepared
 * @param {{folder: string, own: (running: {stop: () => Promise<void>}) => void}} place own: is told of the process as
 *   soon as there is one, to stop it whatever happens
 * @returns {Promise<Running>}
 */
export async function startContestant(contestant, prepared, { folder, own }) {
  const [port = 0] = await freePorts(1);
  const { command, args, cwd, env } = await contestant.command(prepared, port, folder);
  const mark = randomBytes(8).toString('hex');
  const logFile = join(folder, 'output.log');
  const startedAt = performance.now();
  const child = startMarked(command, args, { cwd: cwd ?? folder, env, mark, logFile });
  const tree = { rootPids: [child.pid ?? 0], mark };
  const running = { contestant, port, tree, startupMs: 0, stop: () => endTree(child, tree) };
  own(running);
  try {
    await askUntilReady(targetOf(running, contestant.methods.at(-1) ?? 'POST', SMALLEST_BODY_BYTES), {
      withinMs: START_TIMEOUT_MS,
      isDead: () => child.exitCode !== null || child.signalCode !== null || child.pid === undefined,
    });
  } catch (error) {
    await running.stop();
    throw new Error(`${contestant.name}: ${error.message}; its last output: ${lastOutput(logFile)}`, {
      cause: error,
    });
  }
  running.startupMs = performance.now() - startedAt;
  return running;
}

function lastOutput(file) {
  if (!existsSync(file)) return 'none';
  return readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' | ').slice(-1000);
}
