import { join } from 'node:path';
import type { StatePaths } from '../../config/paths.ts';
import type { LiveTls } from '../../lib/tls/live-tls.ts';
import { addressOf } from '../redis-client.ts';
import type { StoreServer } from '../types.ts';
import { startEmbeddedServer } from './embedded-server.ts';
import { type KeeperEvent, ServerKeeper } from './keep-running.ts';
import { adoptServer, findProgram, type ManagedServerOptions, startManagedServer } from './managed-server.ts';
import type { StorePasswords } from './passwords.ts';
import { type RunningServer, type ServerAddress, type TcpAddress, urlOf } from './running-server.ts';
import { StoreFront } from './store-front.ts';

export type StoreServerEvent = KeeperEvent | { readonly type: 'save-failed'; readonly reason: string };

export interface StoreServerOptions extends TcpAddress {
  /** `--redis`: a server that is there already; nothing is started then */
  readonly externalUrl: string | null;
  /** asked at each start of it: they may be others by then */
  readonly passwords: () => StorePasswords;
  /** the certificate of this node: clients elsewhere speak TLS and show one of the cluster; null: they speak plainly */
  readonly tls: LiveTls | null;
  readonly paths: Pick<StatePaths, 'store' | 'processes' | 'logs' | 'sockets'>;
  /** folders in which server programs are looked for, as in PATH; '' for none */
  readonly searchPath: string;
  /** what happens to the server later, for the log */
  readonly onEvent: (event: StoreServerEvent) => void;
  /** the compiled worker of the embedded server, where it is not that of the build */
  readonly embeddedWorkerFile?: string;
}

/**
 * The store's server: the one given, else the one that an earlier head left running, else a `valkey-server` or
 * `redis-server` of this machine, else Valkey in a thread of this process. It is started again whenever it ends.
 * @throws StoreError STORE_PORT_TAKEN or STORE_START
 */
export async function startStoreServer(options: StoreServerOptions): Promise<StoreServer> {
  if (options.externalUrl !== null) return externalServer(addressOf(options.externalUrl));
  const { tls } = options;
  const address = addressFor(options);
  const managed: ManagedServerOptions = {
    address,
    passwords: options.passwords,
    storeDir: options.paths.store,
    recordFile: join(options.paths.processes, 'store.json'),
    logFile: join(options.paths.logs, 'store.log'),
  };
  const program = findProgram(options.searchPath);
  const start = (): Promise<RunningServer> =>
    program === null ? startEmbedded(options, address) : startManagedServer(managed, program);
  const first = (await adoptServer(managed)) ?? (await start());
  const keeper = new ServerKeeper(first, start, options.onEvent);
  const front = tls === null || !('path' in address) ? null : new StoreFront(tls, address.path);
  await front?.listen(options).catch(async (error) => {
    await keeper.stop(false);
    throw error;
  });
  return {
    kind: first.kind,
    url: urlOf(address),
    get pid() {
      return keeper.pid;
    },
    description: describe(first, options),
    usePasswords: async (passwords) => await keeper.usePasswords(passwords),
    compact: async () => await keeper.compact(),
    stop: async (how) => {
      await front?.close();
      await keeper.stop(how?.keep === true);
    },
  };
}

/** With TLS it is reached through its front alone, and by this machine's own processes. */
function addressFor({ host, port, tls, paths }: StoreServerOptions): ServerAddress {
  return tls === null ? { host, port } : { path: join(paths.sockets, 'store.sock') };
}

function startEmbedded(options: StoreServerOptions, address: ServerAddress): Promise<RunningServer> {
  return startEmbeddedServer({
    address,
    passwords: options.passwords,
    dataDir: join(options.paths.store, 'embedded'),
    logFile: join(options.paths.logs, 'store.log'),
    onSaveFailed: (reason) => options.onEvent({ type: 'save-failed', reason }),
    ...(options.embeddedWorkerFile === undefined ? {} : { workerFile: options.embeddedWorkerFile }),
  });
}

function describe(server: RunningServer, { host, port, tls }: StoreServerOptions): string {
  const where = `on ${host}:${port}${tls === null ? '' : ' with TLS'}`;
  if (server.kind === 'embedded-valkey') {
    return (
      `store: embedded Valkey ${where}, good for trying out on one machine; ` +
      'for production install redis-server or valkey-server, or give one with --redis URL'
    );
  }
  const program = server.kind === 'valkey' ? 'valkey-server' : 'redis-server';
  return (
    `store: ${program} (pid ${server.pid}) ${where}, started and watched by this head; ` +
    'for production with many machines give one of your own with --redis URL'
  );
}

function externalServer(url: string): StoreServer {
  return {
    kind: 'external',
    url,
    pid: null,
    description: `store: ${url}, given with --redis`,
    usePasswords: async () => {}, // they are its owner's
    compact: async () => {},
    stop: async () => {},
  };
}
