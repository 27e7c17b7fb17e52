import { accessSync, constants, statSync } from 'node:fs';
import { mkdir, readFile, realpath, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { spawnDetached } from '../../lib/process/detached.ts';
import { identityOf, isRunning, type ProcessIdentity } from '../../lib/process/identity.ts';
import { signalProcess, waitForExit } from '../../lib/process/signals.ts';
import { storeError } from '../errors.ts';
import { type StorePasswords, userRules } from './passwords.ts';
import { askToShutDown, probe } from './probe.ts';
import {
  describeAddress,
  isSameAddress,
  type RunningServer,
  requireFree,
  type ServerAddress,
  urlOf,
} from './running-server.ts';
import { rewriteLog, usePasswords } from './use-passwords.ts';

export interface ManagedServerOptions {
  readonly address: ServerAddress;
  /** asked at each use: they may be others by then */
  readonly passwords: () => StorePasswords;
  /** data and configuration */
  readonly storeDir: string;
  /** says what runs, for the next head */
  readonly recordFile: string;
  readonly logFile: string;
}

type ManagedKind = 'redis' | 'valkey';

/** A server program that was found. */
interface ServerProgram {
  readonly kind: ManagedKind;
  readonly file: string;
}

/** A server that was left running, and where. It is believed only after a handshake. */
type ServerRecord = ServerAddress & ProcessIdentity;

const PROGRAMS: readonly { readonly kind: ManagedKind; readonly name: string }[] = [
  { kind: 'valkey', name: 'valkey-server' },
  { kind: 'redis', name: 'redis-server' },
];
const START_DEADLINE_MS = 60_000;
const POLL_MS = 20;
/** An adopted process is no child: its exit is found by looking. */
const WATCH_MS = 100;
const STOP_DEADLINE_MS = 10_000;
const LOG_TAIL_CHARS = 2_000;

/** @param searchPath folders as in PATH */
export function findProgram(searchPath: string): ServerProgram | null {
  const folders = searchPath.split(delimiter).filter((folder) => folder !== '');
  for (const { kind, name } of PROGRAMS) {
    const file = folders.map((folder) => join(folder, name)).find(isExecutable);
    if (file !== undefined) return { kind, file };
  }
  return null;
}

/**
 * The server that an earlier head left running on this state directory: it takes our password, and was configured by our
 * file. One that listens elsewhere than asked for is ended, so that it can be started anew on its data.
 * @returns null when there is none
 */
export async function adoptServer(options: ManagedServerOptions): Promise<RunningServer | null> {
  const record = parseRecord(await readIfThere(options.recordFile));
  const configFile = await configPath(options.storeDir);
  for (const address of [record, options.address]) {
    if (address === null) continue;
    const found = await probe(urlOf(address), options.passwords());
    if (found.state !== 'open' || found.configFile !== configFile) continue;
    const identity = identityOf(found.pid);
    if (identity === null) continue; // in another pid namespace: no process of ours
    const ended = watchProcess(identity);
    const server = { kind: found.kind, identity, address };
    if (isSameAddress(address, options.address)) {
      await writeRecord(options, identity);
      const running = runningServer(options, server, ended);
      await running.usePasswords(options.passwords());
      return running;
    }
    await runningServer(options, server, ended).shutdown();
  }
  return null;
}

/**
 * Starts a server that outlives this process.
 * @throws StoreError STORE_PORT_TAKEN or STORE_START with the end of its log
 */
export async function startManagedServer(
  options: ManagedServerOptions,
  program: ServerProgram,
): Promise<RunningServer> {
  await requireFree(options.address);
  const dataDir = join(options.storeDir, program.kind);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const configFile = await configPath(options.storeDir);
  await writeConfig(options, program.kind);
  const child = await spawnDetached({
    command: program.file,
    args: [configFile], // the passwords are in the file: arguments are for all to see
    cwd: dataDir,
    env: {},
    logFile: options.logFile,
  });
  const exit = child.exited.then(({ code, signal }) => `it ended with ${signal ?? `code ${code}`}`);
  const { identity } = child;
  const reason = await waitUntilOpen(options, identity, exit);
  if (reason !== null) {
    signalProcess(identity.pid, 'SIGKILL');
    throw storeError(
      'STORE_START',
      `${program.file} did not start on ${describeAddress(options.address)} (${reason}). The end of ${options.logFile}:\n` +
        `${await logTail(options.logFile)}\nIts data can be derived again: moving ${dataDir} away is safe`,
    );
  }
  await writeRecord(options, identity);
  const ended = { promise: exit, stop: () => {} };
  return runningServer(options, { kind: program.kind, identity, address: options.address }, ended);
}

interface Watched {
  readonly promise: Promise<string>;
  readonly stop: () => void;
}

interface ServerProcess {
  readonly kind: ManagedKind;
  readonly identity: ProcessIdentity;
  readonly address: ServerAddress;
}

function runningServer(
  options: ManagedServerOptions,
  { kind, identity, address }: ServerProcess,
  ended: Watched,
): RunningServer {
  return {
    kind,
    pid: identity.pid,
    ended: ended.promise,
    async usePasswords(passwords) {
      await writeConfig(options, kind); // first: the server may end at any moment
      await usePasswords(urlOf(address), passwords);
    },
    async compact() {
      await rewriteLog(urlOf(address), options.passwords());
    },
    async shutdown() {
      ended.stop();
      await askToShutDown(urlOf(address), options.passwords());
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        if (await waitForExit(identity, STOP_DEADLINE_MS)) break;
        signalProcess(identity.pid, signal);
      }
      await waitForExit(identity, STOP_DEADLINE_MS);
      await rm(options.recordFile, { force: true });
    },
    async release() {
      ended.stop();
    },
  };
}

function watchProcess(identity: ProcessIdentity): Watched {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<string>((resolve) => {
    timer = setInterval(() => {
      if (isRunning(identity)) return;
      clearInterval(timer);
      resolve('its process is gone');
    }, WATCH_MS);
  });
  return { promise, stop: () => clearInterval(timer) };
}

/** @returns null when it is open, else why it will not be */
async function waitUntilOpen(
  options: ManagedServerOptions,
  identity: ProcessIdentity,
  exit: Promise<string>,
): Promise<string | null> {
  let ended: string | null = null;
  void exit.then((reason) => {
    ended = reason;
  });
  const end = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const found = await probe(urlOf(options.address), options.passwords());
    if (found.state === 'open' && found.pid === identity.pid) return null;
    if (ended !== null) return ended;
    if (performance.now() > end) {
      return found.state === 'open' ? 'another server answers there' : found.reason;
    }
    await delay(POLL_MS);
  }
}

async function writeConfig(options: ManagedServerOptions, kind: ManagedKind): Promise<void> {
  const dataDir = await realpath(join(options.storeDir, kind));
  await writeDurably(await configPath(options.storeDir), configText(options, dataDir), 0o600);
}

function configText(options: ManagedServerOptions, dataDir: string): string {
  const settings: readonly (readonly [string, string])[] = [
    ...listenSettings(options.address),
    ['protected-mode', 'yes'],
    ['user', `default ${userRules(options.passwords()).join(' ')}`],
    ['dir', quoted(dataDir)],
    ['daemonize', 'no'],
    ['appendonly', 'yes'],
    ['appendfsync', 'everysec'],
    ['save', '""'],
    ['maxmemory-policy', 'noeviction'],
    ['tcp-keepalive', '60'],
  ];
  return `${settings.map(([name, value]) => `${name} ${value}`).join('\n')}\n`;
}

function listenSettings(address: ServerAddress): readonly (readonly [string, string])[] {
  if ('path' in address) {
    return [
      ['port', '0'],
      ['unixsocket', quoted(address.path)],
      ['unixsocketperm', '700'],
    ];
  }
  return [
    ['bind', address.host],
    ['port', String(address.port)],
  ];
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

/** With links resolved: the server tells this path, and it must compare. */
async function configPath(storeDir: string): Promise<string> {
  await mkdir(storeDir, { recursive: true, mode: 0o700 });
  return join(await realpath(storeDir), 'server.conf');
}

async function writeRecord(options: ManagedServerOptions, identity: ProcessIdentity): Promise<void> {
  const record: ServerRecord = { ...options.address, ...identity };
  await writeDurably(options.recordFile, JSON.stringify(record));
}

/** @returns null for none, and for a damaged one: the port that is asked for is looked at anyway */
function parseRecord(text: string | null): ServerRecord | null {
  try {
    const record: unknown = JSON.parse(text ?? 'null');
    return record as ServerRecord | null;
  } catch {
    return null;
  }
}

async function logTail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.slice(-LOG_TAIL_CHARS).trim();
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
