// Starting and ending the processes of a contestant. Nothing is ended but by the pid and start time that was seen as
// part of its tree.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { MARK, processesOf, startTimeOf } from './process-tree.mjs';

const END_TIMEOUT_MS = 5_000;
const POLL_MS = 50;
const KEPT_OUTPUT = 64 * 1024;

/**
 * Runs a program to its end.
 * @param {{cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs: number}} options
 * @returns {Promise<{code: number | null, output: string}>} code null: ended by a signal or the time limit
 */
export function runToEnd(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk) => {
      output = (output + chunk).slice(-KEPT_OUTPUT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let reason = '';
    const timer = setTimeout(() => {
      reason = `\nended after ${options.timeoutMs / 1000} s, its time limit`;
      child.kill('SIGKILL');
    }, options.timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, output: `${output}\n${error.message}` });
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, output: output + reason });
    });
  });
}

/**
 * Starts a program that stays, marked so that all its processes can be found, its output in a file.
 * @param {{mark: string, logFile: string, cwd?: string, env?: NodeJS.ProcessEnv}} options
 */
export function startMarked(command, args, options) {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env, [MARK]: options.mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log = createWriteStream(options.logFile, { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.once('error', (error) => log.write(`${error.message}\n`));
  child.once('close', () => log.end());
  return child;
}

/**
 * Ends a tree: first the root is asked, then whatever of the tree is left, at last it is killed.
 * @param {import('node:child_process').ChildProcess} root
 */
export async function endTree(root, tree) {
  const seen = new Map(processesOf(tree).map((one) => [one.pid, one.startedAt]));
  root.kill('SIGTERM');
  if (await isGone(tree, seen, END_TIMEOUT_MS)) return;
  signalLeft(tree, seen, 'SIGTERM');
  if (await isGone(tree, seen, END_TIMEOUT_MS)) return;
  signalLeft(tree, seen, 'SIGKILL');
  await isGone(tree, seen, END_TIMEOUT_MS);
}

/** Pids of the tree that live, with those whose parent went first and took their place in the tree along. */
function left(tree, seen) {
  for (const { pid, startedAt } of processesOf(tree)) if (!seen.has(pid)) seen.set(pid, startedAt);
  return [...seen].filter(([pid, startedAt]) => startTimeOf(pid) === startedAt).map(([pid]) => pid);
}

function signalLeft(tree, seen, signal) {
  for (const pid of left(tree, seen)) {
    try {
      process.kill(pid, signal);
    } catch {
      // ended between the look and the signal
    }
  }
}

async function isGone(tree, seen, withinMs) {
  const deadline = Date.now() + withinMs;
  while (Date.now() < deadline) {
    if (left(tree, seen).length === 0) return true;
    await delay(POLL_MS);
  }
  return left(tree, seen).length === 0;
}
