import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import type { DeploymentRoute, RoutingTable } from '../../src/cluster/routing/types.ts';
import { replicaSocket, type StatePaths, statePaths } from '../../src/config/paths.ts';
import {
  DEFAULT_LIMITS,
  Ingress,
  type IngressLimits,
  type IngressOptions,
} from '../../src/ingress/ingress.ts';
import type { RoutingStore } from '../../src/ingress/routing-source.ts';
import { type Log, silentLog } from '../../src/lib/log.ts';
import type { ForkedProcess } from '../../src/lib/process/fork.ts';
import { NodeTls, PLAIN_FILES } from '../../src/lib/tls/node-tls.ts';
import { pathSecrets } from '../support/secrets.ts';
import { type FakeCall, type FakeOptions, FakeReplica } from './fake-replica.ts';

/** Waits for a fact, looking often; fails at the deadline with what was waited for. */
export async function until(what: string, isSo: () => boolean, deadlineMs = 5_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A program that holds a port, takes connections and never says a word. */
export async function holdPort(port = 0): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export function routeOf(change: Partial<DeploymentRoute> = {}): DeploymentRoute {
  return {
    deployment: 'Echo',
    route: 'echo',
    methods: ['GET', 'POST'],
    maxQueuedRequests: 100,
    requestTimeoutMs: 10_000,
    retries: 1,
    exposeErrors: 'never',
    apiKeys: null,
    apiRatePerS: 0,
    availability: { state: 'expected' },
    endpoints: [{ replicaId: 'Echo-1', nodeId: 'node-a' }],
    ...change,
  };
}

export function tableOf(
  deployments: readonly DeploymentRoute[],
  change: Partial<RoutingTable> = {},
): RoutingTable {
  return {
    version: 1,
    epoch: 1,
    incarnation: 'one',
    revision: 1,
    ingressProcesses: 1,
    maxBodyBytes: 64 * 1024 * 1024,
    port: 0,
    deployments,
    nodes: [],
    ...change,
  };
}

/** The store as an ingress sees it, held in memory. */
export class MemoryStore implements RoutingStore {
  table: RoutingTable | null = null;
  readonly published: { readonly incarnation: string; readonly routingVersion: number }[] = [];
  isLost = false;
  #hint = () => {};

  async readRouting(): Promise<RoutingTable | null> {
    if (this.isLost) throw new Error('the store is lost');
    return this.table;
  }

  async publishIngress(entry: { incarnation: string; routingVersion: number }): Promise<void> {
    if (this.isLost) throw new Error('the store is lost');
    this.published.push(entry);
  }

  async watch(_topics: readonly string[], onHint: (topic: 'routing') => void): Promise<() => Promise<void>> {
    this.#hint = () => onHint('routing');
    return async () => {};
  }

  publish(table: RoutingTable): void {
    this.table = table;
    this.#hint();
  }

  hint(): void {
    this.#hint();
  }
}

export interface Answered {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  readonly json: () => {
    readonly status: number;
    readonly code: string;
    readonly info: string;
    readonly request_id: string;
  };
}

export interface CallOptions {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Buffer;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly agent?: http.Agent;
  readonly signal?: AbortSignal;
}

/** One request by node:http; rejects where the connection breaks before the whole answer is there. */
export function call(port: number, options: CallOptions = {}): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: '127.0.0.1',
        port,
        method: options.method ?? 'POST',
        path: options.path ?? '/echo',
        headers: {
          ...(options.body === undefined || options.headers?.['transfer-encoding'] !== undefined
            ? {}
            : { 'content-length': Buffer.byteLength(options.body) }),
          ...options.headers,
        },
        agent: options.agent ?? false,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: () => JSON.parse(text),
          });
        });
      },
    );
    request.on('error', reject);
    request.end(options.body);
  });
}

/** A node in a temporary folder: an ingress, its store, and fake replicas; `close` leaves nothing behind. */
export class TestNode {
  readonly paths: StatePaths;
  readonly store = new MemoryStore();
  readonly nodeId: string;
  readonly replicas = new Map<string, FakeReplica>();
  #ingress: Ingress | null = null;
  /** starts a helper of the ingress; most tests want none */
  forkHelper: () => ForkedProcess = () => {
    throw new RangeError('this test wants no second process');
  };
  readonly #closers: (() => Promise<void> | void)[] = [];

  constructor(nodeId = 'node-a') {
    this.nodeId = nodeId;
    const root = mkdtempSync(join(tmpdir(), 'ingress-test-'));
    this.paths = statePaths(root);
    mkdirSync(this.paths.sockets, { recursive: true, mode: 0o700 });
  }

  get ingress(): Ingress {
    if (this.#ingress === null) throw new Error('start the ingress first');
    return this.#ingress;
  }

  get port(): number {
    return this.ingress.state.httpPort ?? 0;
  }

  socketOf(replicaId: string): string {
    return replicaSocket(this.paths.sockets, replicaId);
  }

  /** Starts an ingress without waiting for replicas. */
  async start(
    change: Partial<Omit<IngressOptions, 'limits'>> & { readonly limits?: Partial<IngressLimits> } = {},
    log: Log = silentLog,
  ): Promise<Ingress> {
    this.#ingress = new Ingress(
      {
        nodeId: this.nodeId,
        clusterId: 'test',
        secrets: pathSecrets(),
        tls: PLAIN_FILES,
        version: '0.0.0',
        host: '127.0.0.1',
        httpPort: 0,
        httpPortFixed: true,
        linkPort: 0,
        paths: this.paths,
        tracing: null,
        ...change,
        limits: { ...DEFAULT_LIMITS, ...change.limits },
      },
      {
        log,
        tls: await NodeTls.open(change.tls ?? PLAIN_FILES),
        forkHelper: () => this.forkHelper(),
      },
    );
    await this.#ingress.start();
    await this.#ingress.follow(this.store);
    return this.#ingress;
  }

  /** A table with these deployments, published and adopted. */
  async publish(deployments: readonly DeploymentRoute[], change: Partial<RoutingTable> = {}): Promise<void> {
    const version = (this.store.table?.version ?? 0) + 1;
    this.store.publish(tableOf(deployments, { version, ...change }));
    await until(
      'the table is adopted',
      () => this.ingress.state.routingVersion === (change.version ?? version),
    );
  }

  async replica(
    replicaId: string,
    onCall: (call: FakeCall) => void,
    options: Partial<FakeOptions> = {},
  ): Promise<FakeReplica> {
    const replica = await FakeReplica.start({
      replicaId,
      onCall,
      socketPath: this.socketOf(replicaId),
      ...options,
    });
    this.replicas.set(replicaId, replica);
    return replica;
  }

  /** The usual beginning: one deployment `Echo` with these replicas here, connected. */
  async serve(
    scripts: Readonly<Record<string, (call: FakeCall) => void>>,
    options: {
      readonly route?: Partial<DeploymentRoute>;
      readonly replica?: Partial<FakeOptions>;
      readonly table?: Partial<RoutingTable>;
    } = {},
  ): Promise<void> {
    for (const [replicaId, onCall] of Object.entries(scripts)) {
      await this.replica(replicaId, onCall, options.replica);
    }
    if (this.#ingress === null) await this.start();
    const endpoints = Object.keys(scripts).map((replicaId) => ({ replicaId, nodeId: this.nodeId }));
    await this.publish([routeOf({ endpoints, ...options.route })], options.table);
    await this.connected(...Object.keys(scripts));
  }

  /** Waits until the ingress can send to these. */
  async connected(...replicaIds: string[]): Promise<void> {
    await until(`channels to ${replicaIds.join(', ')}`, () => {
      const ready = this.ingress.state.deployments.reduce((sum, deployment) => sum + deployment.ready, 0);
      return ready >= replicaIds.length;
    });
  }

  onClose(closer: () => Promise<void> | void): void {
    this.#closers.push(closer);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers) await closer();
    await this.#ingress?.stop();
    for (const replica of this.replicas.values()) await replica.die();
    rmSync(this.paths.root, { recursive: true, force: true });
    rmSync(this.paths.sockets, { recursive: true, force: true });
  }
}

/** Sends bytes as they are and collects what comes until the server closes or `enough` holds. */
export function raw(
  port: number,
  bytes: string,
  enough: (text: string) => boolean = () => false,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (enough(text)) {
        socket.destroy();
        resolve(text);
      }
    });
    socket.on('close', () => resolve(text));
    socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)));
    socket.write(bytes, 'latin1');
  });
}

/** Two nodes for each test of a file: one that serves HTTP, and a far one that has the replicas. */
export function pairOfEachTest(): { near: TestNode; far: TestNode } {
  const pair = {} as { near: TestNode; far: TestNode };
  beforeEach(() => {
    pair.near = new TestNode('node-a');
    pair.far = new TestNode('node-b');
  });
  afterEach(async () => {
    await pair.near.close();
    await pair.far.close();
  });
  return pair;
}
