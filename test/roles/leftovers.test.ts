import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { identityOf, isRunning } from '../../src/lib/process/identity.ts';
import { endLeftovers, hasLeftovers } from '../../src/roles/leftovers.ts';
import { tempDir } from '../support/temp-dir.ts';

function stateDir(): StatePaths {
  const paths = statePaths(tempDir());
  for (const folder of [paths.processes, paths.sockets, paths.store]) mkdirSync(folder, { recursive: true });
  writeFileSync(paths.nodeId, 'n-1\n');
  onTestFinished(() => rmSync(paths.sockets, { recursive: true, force: true }));
  return paths;
}

/** A process in a session of its own, as a replica is; with `deaf` it does not end on SIGTERM. */
async function detached(
  options: { readonly deaf?: boolean; readonly cwd?: string } = {},
): Promise<ChildProcess> {
  const deaf = options.deaf === true ? "process.on('SIGTERM', () => {});" : '';
  const script = `${deaf} process.stdout.write('up'); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--eval', script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  return child;
}

const identity = (child: ChildProcess) => identityOf(child.pid ?? -1) ?? expect.fail('it has ended');

it('ends the processes of the records, and none besides', async () => {
  const paths = stateDir();
  const replica = await detached({ deaf: true });
  const ingress = await detached();
  const store = await detached({ cwd: paths.store });
  const stranger = await detached();
  const other = await detached();
  const records: Record<string, unknown> = {
    'r-1.json': { assignment: {}, identity: identity(replica) },
    'r-2.json': { assignment: {}, identity: null },
    'ingress.json': identity(ingress),
    'store.json': { pid: store.pid },
    'reused.json': { identity: { pid: stranger.pid, startTicks: identity(stranger).startTicks - 1 } },
    'elsewhere.json': { pid: other.pid },
    'gone.json': { identity: { pid: 1, startTicks: -5 } },
  };
  for (const [name, record] of Object.entries(records))
    writeFileSync(join(paths.processes, name), JSON.stringify(record));
  writeFileSync(join(paths.processes, 'cut.json'), '{"identity": {"pi');
  const running = [replica, ingress, store].map(identity);
  expect(hasLeftovers(paths)).toBe(true);
  expect(await endLeftovers(paths, { graceMs: 200 })).toBe(3);
  expect(running.filter(isRunning)).toEqual([]);
  expect([stranger, other].map(identity).filter(isRunning)).toHaveLength(2);
  expect(existsSync(paths.processes) || existsSync(paths.sockets)).toBe(false);
  expect(hasLeftovers(paths)).toBe(false);
  expect(await endLeftovers(paths, { graceMs: 0 })).toBe(0);
});

it('touches nothing in a folder that never was a state directory', async () => {
  const folder = tempDir();
  const paths = statePaths(folder);
  mkdirSync(join(folder, 'processes'));
  writeFileSync(join(folder, 'processes', 'mine.json'), '{}');
  expect(await endLeftovers(paths, { graceMs: 0 })).toBe(0);
  expect(existsSync(join(folder, 'processes', 'mine.json'))).toBe(true);
});
