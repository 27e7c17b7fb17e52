import { access, constants, stat, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { installedMinors } from '../../agent/environments/installed-interpreters.ts';
import { sizeText } from '../../cluster/placement/amounts.ts';
import { childEnvironment } from '../../config/environment.ts';
import type { StatePaths } from '../../config/paths.ts';
import { runCommand } from '../../lib/process/command.ts';
import { findProgram } from '../../lib/process/find-program.ts';
import { openFileLimit } from '../../lib/process/open-files.ts';
import { bad, type DoctorFinding, note, ok, warn } from './finding.ts';

const COMMAND_MS = 10_000;
const MIN_FILES = 4_096;
const LITTLE_DISK_BYTES = 5 * 1024 ** 3;
const NO_DISK_BYTES = 512 * 1024 ** 2;
const LITTLE_SHM_BYTES = 64 * 1024 ** 2;

/** What this machine has for modelserve, whether or not it runs here. */
export async function machineChecks(paths: StatePaths): Promise<readonly DoctorFinding[]> {
  return [
    node(),
    ok('cores, memory', `${availableParallelism()} cores, ${sizeText(totalmem())}`),
    await python(),
    await installers(),
    await store(),
    await gpus(),
    compiler(),
    openFiles(),
    await stateDirectory(paths),
    await disk(paths.root),
    await sharedMemory(),
    await clock(),
  ];
}

function node(): DoctorFinding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isNew = major > 20 || (major === 20 && minor >= 19);
  if (!isNew) return bad('Node.js', process.versions.node, 'modelserve needs 20.19 or newer');
  return ok('Node.js', process.versions.node);
}

async function python(): Promise<DoctorFinding> {
  const path = program('python3');
  const env = childEnvironment();
  const others = installedMinors(env).join(', ');
  const more = others === '' ? '' : `; also installed: ${others}`;
  if (path === null) {
    return warn(
      'Python',
      `no python3 on PATH${more}`,
      'install python3 (3.6 or newer), unless all packages are JavaScript',
    );
  }
  const { output, exitCode } = await runCommand(
    path,
    ['-c', 'import sys, venv, ensurepip; print(sys.version.split()[0])'],
    {
      timeoutMs: COMMAND_MS,
      env,
    },
  );
  if (exitCode === 0) return ok('Python', `${output.trim()} (${path})${more}`);
  return warn(
    'Python',
    `${path} cannot make virtual environments${more}`,
    'install its venv module (Debian: python3-venv), or uv',
  );
}

async function installers(): Promise<DoctorFinding> {
  const found = ['uv', 'pip3', 'conda', 'npm', 'pnpm', 'yarn'].filter((name) => program(name) !== null);
  const hint = found.includes('uv')
    ? ''
    : 'uv, where it is on PATH, builds environments several times faster than pip';
  return found.length === 0
    ? warn('installers', 'none', 'packages with dependencies need uv or pip, JavaScript ones npm')
    : note('installers', found.join(', '), hint);
}

async function store(): Promise<DoctorFinding> {
  const path = program('redis-server') ?? program('valkey-server');
  if (path === null) {
    return note(
      'store',
      'no redis-server or valkey-server on PATH',
      'a single machine needs none (one is built in); a cluster does: Debian: redis-server',
    );
  }
  const { output } = await runCommand(path, ['--version'], {
    timeoutMs: COMMAND_MS,
    env: childEnvironment(),
  });
  const version = /v=(\S+)/.exec(output)?.[1] ?? '';
  const found = `${path} ${version}`.trim();
  if (!isOlder(version, /valkey/i.test(output) ? [7, 2] : [6, 2])) return ok('store', found);
  return bad('store', `${found} is too old`, 'install Redis 6.2 or Valkey 7.2, or newer');
}

/** @param version `7.0.15`; what is none counts as new enough */
function isOlder(version: string, [leastMajor, leastMinor]: readonly [number, number]): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || Number(major) > leastMajor) return false;
  return Number(major) < leastMajor || Number(minor) < leastMinor;
}

async function gpus(): Promise<DoctorFinding> {
  const path = program('nvidia-smi');
  if (path === null)
    return note(
      'GPUs',
      'no nvidia-smi: none are used',
      'for a trial without any: modelserve head --num-gpus 1',
    );
  const { output, exitCode } = await runCommand(
    path,
    ['--query-gpu=name,driver_version,memory.total', '--format=csv,noheader'],
    {
      timeoutMs: COMMAND_MS,
      env: childEnvironment(),
    },
  );
  if (exitCode === 0) return ok('GPUs', output.trim().split('\n').join('; '));
  return bad(
    'GPUs',
    `nvidia-smi: ${output.trim().split('\n')[0] ?? 'it ended with an error'}`,
    'look at the driver (dmesg, nvidia-smi); a restart of the machine often helps',
  );
}

function compiler(): DoctorFinding {
  const path = program('cc');
  return path === null
    ? note('C compiler', 'none', 'models with stream = on are fetched whole before a backend starts')
    : ok('C compiler', path);
}

/** Every connection and every replica is an open file. */
function openFiles(): DoctorFinding {
  const soft = openFileLimit();
  if (!Number.isFinite(soft)) return ok('open files', 'unlimited');
  if (soft >= MIN_FILES) return ok('open files', String(soft));
  return warn(
    'open files',
    `${soft} at most`,
    `raise it before starting modelserve: ulimit -n ${MIN_FILES * 16} (systemd: LimitNOFILE=)`,
  );
}

async function stateDirectory({ root }: StatePaths): Promise<DoctorFinding> {
  const there = await nearestFolder(root);
  const { uid, mode } = await stat(there);
  const mayWrite = await access(there, constants.W_OK).then(
    () => true,
    () => false,
  );
  const elsewhere = 'give another with --state-dir';
  if (!mayWrite) return bad('state directory', `nothing may be written in ${there}`, elsewhere);
  if (there !== root) return ok('state directory', `${root} (made at the first start)`);
  if (uid !== process.getuid?.()) return bad('state directory', `${root} belongs to user ${uid}`, elsewhere);
  if ((mode & 0o022) === 0) return ok('state directory', root);
  return bad('state directory', `${root} may be written by others`, `chmod 700 ${root}`);
}

/** The folder itself, or the first above it that is there. */
async function nearestFolder(path: string): Promise<string> {
  const isThere = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isThere || path === dirname(path) ? path : await nearestFolder(dirname(path));
}

async function disk(root: string): Promise<DoctorFinding> {
  const { bavail, bsize } = await statfs(await nearestFolder(root)).catch(() => ({ bavail: 0, bsize: 1 }));
  const freeBytes = bavail * bsize;
  const found = `${sizeText(freeBytes)} free at ${root}`;
  if (freeBytes < NO_DISK_BYTES)
    return bad('disk', found, 'make room: modelserve env prune, or another --state-dir');
  if (freeBytes < LITTLE_DISK_BYTES) return warn('disk', found, 'environments and models need some GB');
  return ok('disk', found);
}

async function sharedMemory(): Promise<DoctorFinding> {
  const { blocks, bsize } = await statfs('/dev/shm').catch(() => ({ blocks: 0, bsize: 1 }));
  const sizeBytes = blocks * bsize;
  if (sizeBytes >= LITTLE_SHM_BYTES) return ok('shared memory', sizeText(sizeBytes));
  return note(
    'shared memory',
    `/dev/shm has ${sizeText(sizeBytes)}`,
    'PyTorch data loaders want more (containers: --shm-size)',
  );
}

async function clock(): Promise<DoctorFinding> {
  const path = program('timedatectl');
  if (path === null)
    return note(
      'clock',
      new Date().toISOString(),
      'nothing tells whether it is kept right; signed requests to object stores need it within minutes',
    );
  const { stdout, exitCode } = await runCommand(path, ['show', '--property=NTPSynchronized', '--value'], {
    timeoutMs: COMMAND_MS,
    env: childEnvironment(),
  });
  if (exitCode !== 0) return note('clock', new Date().toISOString());
  if (stdout.trim() === 'yes') return ok('clock', 'kept right by the network');
  return warn(
    'clock',
    'not kept right by the network',
    'timedatectl set-ntp true; signed requests to object stores need it within minutes',
  );
}

function program(name: string): string | null {
  return findProgram(name, childEnvironment()['PATH'] ?? '');
}
