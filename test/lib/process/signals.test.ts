import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished } from 'vitest';
import { killSession } from '../../../src/lib/process/signals.ts';
import { python } from '../../runner/python/interpreters.ts';

/** Starts a session that says one line, and nothing else. */
async function session(program: string, args: readonly string[]): Promise<{ pid: number; line: string }> {
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = child.pid ?? expect.fail('not started');
  onTestFinished(async () => void (await killSession(pid)));
  const [line] = await once(createInterface(child.stdout), 'line');
  return { pid, line: String(line) };
}

const sharing = `
import multiprocessing, os, sys, time
kept = multiprocessing.get_context("spawn").Lock()
if sys.version_info >= (3, 8):
    from multiprocessing.shared_memory import SharedMemory
    memory = SharedMemory(create=True, size=4096)
    print(kept._semlock.name, memory.name, flush=True)
else:
    print(kept._semlock.name, flush=True)
time.sleep(60)
`;

it.skipIf(python === null)('a killed Python program leaves no semaphore and no shared memory', async () => {
  const { pid, line } = await session(python?.path ?? '', ['-c', sharing]);
  const names = line.split(' ').map((name) => name.replace('/', ''));
  const present = (): readonly string[] =>
    readdirSync('/dev/shm').filter((entry) =>
      names.some((name) => entry === name || entry === `sem.${name}`),
    );
  expect(present()).toHaveLength(names.length);
  expect(await killSession(pid)).toBe(true);
  expect(present()).toEqual([]);
});

it('what only looks like the keeper of semaphores goes, too', async () => {
  const command =
    'echo up; while :; do sleep 1; done # from multiprocessing.resource_tracker import main;main(3)';
  const { pid } = await session('/bin/sh', ['-c', command]);
  expect(await killSession(pid, 2_000)).toBe(true);
});
