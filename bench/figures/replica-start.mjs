// From the spawn of a replica to its being ready, beside the start of a bare interpreter with the same imports.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../lib/paths.mjs';
import { commandLineOf, processesOf } from '../lib/process-tree.mjs';
import { median } from '../lib/statistics.mjs';
import { judged } from './row.mjs';

const TIMES = 15;
const LOOK_MS = 1;
const TIMEOUT_MS = 30_000;
/** What any program needs that speaks HTTP-like messages on sockets asynchronously. */
const BARE = 'import asyncio, json, socket, threading, traceback; print("ready", flush=True)';

/**
 * @param {import('../contestants/server.mjs').Running & {folder: string}} head whose replica is started again, beside it,
 *   as its agent started it
 */
export async function replicaStart(head) {
  const { connectControl } = await import(
    pathToFileURL(join(ROOT, 'dist', 'channel', 'agent-client.js')).href
  );
  const found = replicaOf(head);
  const replicaMs = [];
  const bareMs = [];
  for (let time = 0; time < TIMES; time += 1) {
    bareMs.push(await bareStart(found.program));
    replicaMs.push(await oneStart(found, time, connectControl));
  }
  const [replica = 0, bare = 0] = [median(replicaMs), median(bareMs)];
  return judged({
    what: "a replica of an unchanged package, from its spawn to its being ready, over the bare interpreter's start",
    unit: 'ms',
    atMost: 60,
    values: [replica - bare],
    note: `medians of ${TIMES}: ${replica.toFixed(0)} ms, the interpreter with asyncio, json, socket, threading and traceback ${bare.toFixed(0)} ms`,
  });
}

/** The program, arguments and launch file that the head's agent started its replica with. */
function replicaOf(head) {
  const replica = processesOf(head.tree).find(
    ({ name, pid }) => /^python/.test(name) && /launch-/.test(commandLineOf(pid)),
  );
  if (replica === undefined) throw new Error('the head has no Python replica');
  const [program = '', runner = ''] = readFileSync(`/proc/${replica.pid}/cmdline`, 'utf8').split('\0');
  const stage = join(head.folder, 'state', 'stage');
  const file = readdirSync(stage).find((name) => name.startsWith('launch-')) ?? '';
  return {
    program,
    runner,
    folder: head.folder,
    launch: JSON.parse(readFileSync(join(stage, file), 'utf8')),
  };
}

async function bareStart(program) {
  const startedAt = performance.now();
  const child = spawn(program, ['-c', BARE], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  const tookMs = performance.now() - startedAt;
  await once(child, 'close');
  return tookMs;
}

async function oneStart({ program, runner, folder, launch }, time, connectControl) {
  const name = `start-${time}`;
  const file = join(folder, `${name}.json`);
  const socket = join(folder, `${name}.sock`);
  writeFileSync(file, JSON.stringify({ ...launch, replica: name, socket, log: join(folder, `${name}.log`) }));
  const startedAt = performance.now();
  const child = spawn(program, [runner, file], { cwd: folder, stdio: 'ignore' });
  try {
    await untilReady(socket, connectControl, startedAt + TIMEOUT_MS);
    return performance.now() - startedAt;
  } finally {
    child.kill('SIGKILL');
    await once(child, 'close');
  }
}

async function untilReady(socketPath, connectControl, endAt) {
  for (;;) {
    try {
      await readyOn(socketPath, connectControl);
      return;
    } catch (error) {
      if (performance.now() > endAt) throw error;
      await delay(LOOK_MS);
    }
  }
}

function readyOn(socketPath, connectControl) {
  return new Promise((resolve, reject) => {
    const look = ({ phase }) => {
      if (phase === 'ready') resolve();
    };
    connectControl({
      socketPath,
      nodeId: 'bench',
      timeoutMs: TIMEOUT_MS,
      onNotify: (notification) => {
        if (notification.event === 'state') look(notification.state);
      },
      onClose: () => reject(new Error('the replica ended before it was ready')),
    }).then(({ hello }) => look(hello.state), reject);
  });
}
