import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** What a test has just told to end may take a moment. */
const GRACE_MS = 5_000;
const LOOK_MS = 50;
const SHARED_MEMORY = '/dev/shm';

export interface Leftovers {
  /** below the folder of temporary files; folders are named with what is in them */
  readonly files: readonly string[];
  readonly processes: readonly { readonly pid: number; readonly command: string }[];
}

/**
 * Gives a run of tests a folder of temporary files of its own. Called by vitest.
 * @returns what says at the run's end what was left behind, removes it, and in CI fails the run
 */
export function setup(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'mst-')); // short: paths of sockets have at most 107 bytes
  chmodSync(folder, 0o1777); // servers of tests that run as other users have files there
  const before = process.env['TMPDIR'];
  const memoryBefore = new Set(memoryOfProject());
  process.env['TMPDIR'] = folder;
  return async () => {
    const { files, processes } = await leftIn(folder);
    const memory = memoryOfProject().filter((name) => !memoryBefore.has(name));
    for (const { pid } of processes) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    tell([
      ...files.map((name) => join(folder, name)),
      ...memory.map((name) => join(SHARED_MEMORY, name)),
      ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
    ]);
  };
}

function tell(left: readonly string[]): void {
  if (left.length === 0) return;
  process.stderr.write(`\nThe tests have left behind:\n${left.map((one) => `  ${one}\n`).join('')}`);
  if (process.env['CI'] !== undefined) process.exitCode = 1;
}

/** What is left of a run of tests in its folder, once nothing has become less for a while. */
export async function leftIn(folder: string, graceMs = GRACE_MS): Promise<Leftovers> {
  const end = performance.now() + graceMs;
  for (;;) {
    const left = { files: filesIn(folder), processes: processesOf(folder) };
    const isClean = left.files.length === 0 && left.processes.length === 0;
    if (isClean || performance.now() > end) return left;
    await delay(LOOK_MS);
  }
}

/** The folder that the sockets of all nodes of a user lie in stays, once there is one; what is in it does not. */
function filesIn(folder: string): readonly string[] {
  const common = `modelserve-${process.getuid?.()}`;
  return readdirSync(folder).flatMap((name) => {
    const inside = insideOf(join(folder, name));
    if (name === common) return inside.map((one) => join(name, one));
    return inside.length === 0 ? [name] : [`${name} (${inside.slice(0, 5).join(', ')})`];
  });
}

function insideOf(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // a file, or gone
  }
}

function memoryOfProject(): readonly string[] {
  return insideOf(SHARED_MEMORY).filter((name) => name.startsWith('modelserve'));
}

/** Processes that were started with the folder in their environment or command, or that work in it; not vitest's own. */
function processesOf(folder: string): Leftovers['processes'] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && isOf(pid, folder))
    .map((pid) => ({ pid, command: wordsIn(pid, 'cmdline').join(' ').slice(0, 300) }));
}

function isOf(pid: number, folder: string): boolean {
  const status = procFile(pid, 'status');
  if (/^State:\s+Z/m.test(status) || status.includes(`\nPPid:\t${process.pid}\n`)) return false;
  return (
    workingFolder(pid).startsWith(folder) ||
    wordsIn(pid, 'environ').includes(`TMPDIR=${folder}`) ||
    procFile(pid, 'cmdline').includes(folder)
  );
}

const wordsIn = (pid: number, file: 'environ' | 'cmdline'): string[] => procFile(pid, file).split('\0');

function procFile(pid: number, file: 'environ' | 'cmdline' | 'status'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has ended, or is somebody else's
  }
}

function workingFolder(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}
