import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { build } from 'esbuild';
import type { Redis } from 'ioredis';
import { type StatePaths, statePaths } from '../../src/config/paths.ts';
import { freePort } from '../../src/lib/ports.ts';
import { createRedis } from '../../src/store/redis-client.ts';
import { connectStore, type StoreOptions } from '../../src/store/redis-store.ts';
import { findProgram } from '../../src/store/server/managed-server.ts';
import {
  type StoreServerEvent,
  type StoreServerOptions,
  startStoreServer,
} from '../../src/store/server/start-store-server.ts';
import type { Store, StoreServer } from '../../src/store/types.ts';

export interface ServerVariant {
  readonly name: string;
  readonly searchPath: string;
  readonly missing: boolean;
}

const PATH = process.env['PATH'] ?? '';

/** The real server's program, '' where none is installed. */
export const REAL_PROGRAM = findProgram(PATH)?.file ?? '';

/** Both servers that a head can start. Where no real one is installed its tests are skipped, and this says so. */
export const VARIANTS: readonly ServerVariant[] = [
  { name: 'a real redis-server', searchPath: PATH, missing: REAL_PROGRAM === '' },
  { name: 'the embedded Valkey', searchPath: '', missing: false },
];

if (VARIANTS[0]?.missing === true) {
  process.stdout.write(
    'skipped: store tests on a real server: neither redis-server nor valkey-server on PATH\n',
  );
}

/** Waits for a fact; fails, naming it, when it has not come true in time. */
export async function until(
  fact: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${fact}`);
    await delay(5);
  }
}

/** A node's folder, port and password for a store server, and what to clean up after it. */
export class ServerRig {
  readonly password = 'a "quoted" \\password';
  readonly events: StoreServerEvent[] = [];
  readonly root: string;
  readonly port: number;
  readonly #searchPath: string;
  readonly #closers: (() => Promise<unknown>)[] = [];
  server!: StoreServer;

  private constructor(root: string, port: number, searchPath: string) {
    this.root = root;
    this.port = port;
    this.#searchPath = searchPath;
  }

  /** With a server that runs. */
  static async start(searchPath: string): Promise<ServerRig> {
    const rig = await ServerRig.prepare(searchPath);
    rig.server = await rig.startServer();
    return rig;
  }

  static async prepare(searchPath: string): Promise<ServerRig> {
    const root = await mkdtemp(join(tmpdir(), 'modelserve-store-'));
    return new ServerRig(root, await freePort('127.0.0.1'), searchPath);
  }

  get paths(): StatePaths {
    return statePaths(this.root);
  }

  async startServer(overrides: Partial<StoreServerOptions> = {}): Promise<StoreServer> {
    const server = await startStoreServer({
      externalUrl: null,
      host: '127.0.0.1',
      port: this.port,
      passwords: () => [this.password],
      tls: null,
      paths: this.paths,
      searchPath: this.#searchPath,
      onEvent: (event) => this.events.push(event),
      embeddedWorkerFile: await buildEmbeddedWorker(this.root),
      ...overrides,
    });
    this.#closers.unshift(() => server.stop());
    return server;
  }

  storeOptions(overrides: Partial<StoreOptions> = {}): StoreOptions {
    return { url: `redis://127.0.0.1:${this.port}`, password: () => this.password, ...overrides };
  }

  async connect(overrides: Partial<StoreOptions> = {}): Promise<Store> {
    const store = await connectStore(this.storeOptions(overrides));
    this.#closers.unshift(() => store.close());
    return store;
  }

  /** A client without any of the store's meaning. */
  async rawClient(): Promise<Redis> {
    const redis = createRedis({
      url: `redis://127.0.0.1:${this.port}`,
      password: () => this.password,
      commandTimeoutMs: 5_000,
    });
    this.#closers.unshift(async () => redis.disconnect());
    await redis.connect();
    return redis;
  }

  /** Closes in reverse order what was opened, ends the server, and removes the folder. */
  async dispose(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
    await rm(this.root, { recursive: true, force: true });
    await rm(this.paths.sockets, { recursive: true, force: true });
  }
}

/** Node 20 cannot start a .ts file as a thread, and a test shall not depend on whether and when dist/ was built. */
async function buildEmbeddedWorker(folder: string): Promise<string> {
  const file = join(folder, 'embedded-valkey-worker.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, '../../src/store/server/embedded-valkey-worker.ts')],
    outfile: file,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'silent',
  });
  return file;
}
