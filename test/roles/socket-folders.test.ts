import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { agentSocket, type StatePaths, statePaths } from '../../src/config/paths.ts';
import { identityOf } from '../../src/lib/process/identity.ts';
import { makeSocketFolder } from '../../src/roles/socket-folders.ts';
import { lockStateDir } from '../../src/roles/state-dir.ts';
import { tempDir } from '../support/temp-dir.ts';

const DEAD = { pid: 1, startTicks: -5 };

beforeEach(() => {
  vi.stubEnv('TMPDIR', tempDir()); // sockets lie there: what others leave is none of ours
  onTestFinished(() => void vi.unstubAllEnvs());
});

/** A state directory whose node has sockets, and models in memory, and was killed. */
async function killedNode(): Promise<StatePaths> {
  const paths = statePaths(join(tempDir(), 'state'));
  mkdirSync(paths.processes, { recursive: true });
  writeFileSync(paths.lock, JSON.stringify({ ...DEAD, role: 'worker', admin: null }));
  await makeSocketFolder(paths);
  writeFileSync(agentSocket(paths.sockets), '');
  mkdirSync(paths.memory);
  onTestFinished(() => rmSync(paths.memory, { recursive: true, force: true }));
  return paths;
}

async function anotherStarts(): Promise<void> {
  const { release } = await lockStateDir(statePaths(join(tempDir(), 'state')), 'head');
  await release();
}

const writeRecord = (paths: StatePaths, identity: object): void =>
  writeFileSync(join(paths.processes, 'r-1.json'), JSON.stringify({ identity }));

it('go with the node, unless something serves on', async () => {
  const paths = statePaths(join(tempDir(), 'state'));
  const first = await lockStateDir(paths, 'worker');
  mkdirSync(paths.processes, { recursive: true });
  writeRecord(paths, identityOf(process.pid) ?? {});
  await first.release();
  expect(existsSync(paths.sockets)).toBe(true);
  const second = await lockStateDir(paths, 'worker');
  writeRecord(paths, DEAD);
  await second.release();
  expect(existsSync(paths.sockets)).toBe(false);
});

it('of killed nodes are removed by the next that starts; what is in memory waits for its own', async () => {
  const killed = await killedNode();
  await anotherStarts();
  expect([existsSync(killed.sockets), existsSync(killed.memory)]).toEqual([false, true]);
});

it('of a state directory that is gone are removed, with what was in memory', async () => {
  const killed = await killedNode();
  rmSync(killed.root, { recursive: true });
  await anotherStarts();
  expect([existsSync(killed.sockets), existsSync(killed.memory)]).toEqual([false, false]);
});

it('stay where a node runs', async () => {
  const running = await killedNode();
  const self = identityOf(process.pid);
  writeFileSync(running.lock, JSON.stringify({ ...self, role: 'worker', admin: null }));
  await anotherStarts();
  expect(existsSync(running.sockets)).toBe(true);
});

it('stay where a replica of a killed node serves on', async () => {
  const killed = await killedNode();
  writeRecord(killed, identityOf(process.pid) ?? {});
  await anotherStarts();
  expect(existsSync(killed.sockets)).toBe(true);
});

it('stay where somebody answers whose state directory cannot be seen', async () => {
  const killed = await killedNode();
  rmSync(killed.root, { recursive: true });
  rmSync(agentSocket(killed.sockets));
  const server = createServer().listen(agentSocket(killed.sockets));
  onTestFinished(() => void server.close());
  await expect.poll(() => server.listening).toBe(true);
  await anotherStarts();
  expect(existsSync(killed.sockets)).toBe(true);
});

it('stay where they do not say whose they are', async () => {
  const killed = await killedNode();
  const unknown = join(dirname(killed.sockets), '0123456789ab');
  mkdirSync(unknown);
  const liar = join(dirname(killed.sockets), 'ba9876543210');
  mkdirSync(liar);
  writeFileSync(join(liar, 'state-dir'), '/nowhere\n');
  await anotherStarts();
  expect([unknown, liar].map((folder) => existsSync(folder))).toEqual([true, true]);
});
