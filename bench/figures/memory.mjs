// Memory at rest: a Python replica beside a bare interpreter with asyncio, and what a head brings along.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { commandLineOf, processesOf, residentBytesOf } from '../lib/process-tree.mjs';
import { section, startHead } from './head.mjs';
import { judged } from './row.mjs';

const MEGABYTE = 1e6;
const BARE = 'import asyncio; print("ready", flush=True); asyncio.run(asyncio.sleep(600))';

/** @param {import('./head.mjs').Context} context */
export async function memory(context) {
  const head = await startHead(context, {
    conf: section('noop', { backend: 'NoOp', route: 'noop' }),
    route: 'noop',
  });
  const members = processesOf(head.tree);
  const isReplica = ({ name, pid }) => /^python/.test(name) && /runner/.test(commandLineOf(pid));
  const replica = members.filter(isReplica).map(({ pid }) => pid);
  const others = members.filter((one) => !isReplica(one)).map(({ pid }) => pid);
  const bare = await bareInterpreter();
  const note = `resident (RSS); a bare interpreter with asyncio here: ${(bare / MEGABYTE).toFixed(1)} MB`;
  const names = members.filter((one) => !isReplica(one)).map(({ name }) => name);
  return [
    judged({
      what: 'memory of an idle Python replica',
      unit: 'MB',
      atMost: 30,
      values: [residentOf(replica)],
      note,
    }),
    judged({
      what: "memory of the head's Node processes with redis-server",
      unit: 'MB',
      atMost: 250,
      values: [residentOf(others)],
      note: `resident (RSS): ${names.join(', ')}; shared pages count once for each process`,
    }),
  ];
}

async function bareInterpreter() {
  const child = spawn('python3', ['-c', BARE], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    return residentOf([child.pid ?? 0]) * MEGABYTE;
  } finally {
    child.kill('SIGKILL');
  }
}

/** Megabytes of these processes alone. */
function residentOf(pids) {
  return pids.reduce((sum, pid) => sum + residentBytesOf(pid), 0) / MEGABYTE;
}
