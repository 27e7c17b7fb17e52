import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import type { ReadyReplica } from '../channel/messages.ts';
import type { IngressSample, PartialIngress } from '../cluster/metrics/samples.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import { childEnvironment } from '../config/environment.ts';
import type { PathSecrets } from '../config/token.ts';
import type { TracingSettings } from '../config/tracing-settings.ts';
import { LiveSecrets } from '../lib/live-secrets.ts';
import type { Log } from '../lib/log.ts';
import { isLoopback } from '../lib/loopback.ts';
import { openFileLimit } from '../lib/process/open-files.ts';
import type { NodeTls, NodeTlsFiles } from '../lib/tls/node-tls.ts';
import { ProcessSampler } from '../telemetry/process-sampler.ts';
import { Tracer } from '../telemetry/tracer.ts';
import { adminRoutes } from './admin-routes.ts';
import { ApiKeys } from './api-keys.ts';
import { ByteBudget } from './byte-budget.ts';
import { Casualties } from './casualties.ts';
import { Connections } from './connections.ts';
import { Dispatcher } from './dispatcher.ts';
import { Fleet } from './fleet.ts';
import { createFront } from './http-front.ts';
import type { ProcessLoad } from './load.ts';
import { RequestHandler } from './request-handler.ts';
import { RequestJournal } from './request-journal.ts';
import { watchSockets } from './socket-watch.ts';
import type { Target } from './target.ts';

/** Plain JSON: it travels from the main process of an ingress to its helpers. */
export interface RequestPathOptions {
  readonly nodeId: string;
  readonly clusterId: string;
  /** at the start; `useSecrets` gives others */
  readonly secrets: PathSecrets;
  readonly version: string;
  /** where the ingress listens; decides whether clients are all of this machine */
  readonly host: string;
  /** folder of the replicas' sockets */
  readonly socketsDir: string;
  /** lines of requests, where the routing table asks for them */
  readonly accessLog: string;
  /** null: no spans are made */
  readonly tracing: TracingSettings | null;
  /** for the processes that open it themselves */
  readonly tls: NodeTlsFiles;
  readonly limits: RequestPathLimits;
}

export interface RequestPathLimits {
  /** of all request bodies that one process keeps for another try */
  readonly retryBufferBytes: number;
  readonly headersTimeoutMs: number;
  readonly maxHeaderBytes: number;
}

export interface RequestPathDependencies {
  readonly log: Log;
  readonly tls: NodeTls;
  /** what this node's own replicas can take has changed */
  readonly onLocalChange: () => void;
  /** what all processes of the ingress have counted */
  readonly measure: () => Promise<IngressSample>;
  readonly role: 'ingress' | 'ingress-helper';
}

const DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024;

/** What is left of the files that this process may have open is for replicas, links and logs. */
function mostConnections(): number {
  return Math.floor(openFileLimit() * 0.8);
}

/**
 * What every process of an ingress has: from a connection to the replicas and back. It neither listens nor knows where
 * routing tables come from.
 */
export class RequestPath {
  readonly #options: RequestPathOptions;
  readonly #log: Log;
  readonly #dispatcher = new Dispatcher(Math.random);
  readonly #casualties = new Casualties();
  readonly #budget: ByteBudget;
  readonly #fleet: Fleet;
  readonly #handler: RequestHandler;
  readonly #admin: FastifyInstance;
  readonly #connections: Connections;
  readonly #sampler: ProcessSampler;
  readonly #journal: RequestJournal;
  readonly #tracer: Tracer | null;
  readonly #tls: NodeTls;
  readonly #linkKeys: LiveSecrets;
  readonly #metricsKeys: LiveSecrets;
  readonly #life: { table: RoutingTable | null; draining: boolean; unwatch: () => void };

  constructor(options: RequestPathOptions, dependencies: RequestPathDependencies) {
    const { log, tls, onLocalChange, measure, role } = dependencies;
    const { nodeId, clusterId, secrets, version, limits } = options;
    this.#tls = tls;
    this.#linkKeys = new LiveSecrets(...secrets.linkKeys);
    this.#metricsKeys = new LiveSecrets(...secrets.metricsKeys);
    const [linkKeys, metricsKeys] = [this.#linkKeys, this.#metricsKeys];
    this.#sampler = new ProcessSampler(role);
    this.#journal = new RequestJournal(log, options.accessLog);
    this.#tracer = options.tracing && new Tracer(options.tracing, { id: nodeId, version, log });
    this.#options = options;
    this.#log = log;
    this.#life = { table: null, draining: false, unwatch: () => {} };
    const dispatcher = this.#dispatcher;
    const isDraining = () => this.#life.draining;
    this.#budget = new ByteBudget(limits.retryBufferBytes);
    this.#fleet = new Fleet(
      { nodeId, linkKeys, tls: tls.nodes, log, random: Math.random, socketsDir: options.socketsDir },
      { onRoom: (deployment) => dispatcher.pump(deployment), onLocalChange },
    );
    const handler = new RequestHandler({
      dispatcher,
      budget: this.#budget,
      casualties: this.#casualties,
      journal: this.#journal,
      tracer: this.#tracer,
      apiKeys: new ApiKeys(childEnvironment(), log),
      maxBodyBytes: () => this.#life.table?.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
      isDraining,
      isLoopback: isLoopback(options.host),
    });
    const table = () => this.#life.table;
    const admin = adminRoutes({
      ...{ nodeId, clusterId, metricsKeys, version, dispatcher, table, isDraining, measure },
    });
    this.#handler = handler;
    this.#admin = admin;
    this.#connections = new Connections(
      () => createFront(limits, { handler, journal: this.#journal, admin, tls: tls.clients, clusterId }),
      mostConnections(),
    );
  }

  get load(): ProcessLoad {
    const deployments = this.#dispatcher.counts;
    return {
      pid: process.pid,
      connections: this.#connections.count,
      open: this.#handler.openCount,
      inFlight: deployments.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queued: deployments.reduce((sum, { queued }) => sum + queued, 0),
      keptBytes: this.#budget.takenBytes,
      deployments,
      poison: this.#casualties.list,
    };
  }

  /** What this process has counted. */
  get sample(): PartialIngress {
    return {
      processes: [this.#sampler.sample],
      connections: this.#connections.count,
      unrouted: this.#handler.unroutedCount,
      deployments: this.#dispatcher.samples,
    };
  }

  /** What other nodes may send to this one now. */
  readyHere(): readonly ReadyReplica[] {
    return this.#fleet.readyHere();
  }

  /** A replica of this node; null where the table names none of that id here. */
  localTarget(replicaId: string): Target | null {
    return this.#fleet.localTarget(replicaId);
  }

  /** Before the first connection. */
  async start(): Promise<void> {
    await this.#admin.ready();
    this.#sampler.start();
    this.#life.unwatch = watchSockets(this.#options.socketsDir, this.#log, () => this.#fleet.hurry());
  }

  /** Serves by this table from now on. */
  adopt(table: RoutingTable): void {
    this.#life.table = table;
    this.#journal.record(table.accessLog === true);
    this.#fleet.adopt(table);
    this.#dispatcher.adopt(table, this.#fleet.targets());
  }

  /**
   * Follows a change of the cluster's secrets: those that are shown and accepted, and the certificate, which is on disk.
   * Links prove themselves by the new ones when it resolves.
   */
  async useSecrets({ linkKeys, metricsKeys }: PathSecrets): Promise<void> {
    const before = this.#linkKeys.current;
    await this.#tls.refresh(this.#log);
    this.#linkKeys.use(linkKeys);
    this.#metricsKeys.use(metricsKeys);
    if (this.#linkKeys.current !== before) await this.#fleet.renewLinks();
  }

  /** Serves a connection that has not been read from. */
  take(socket: Socket): void {
    this.#connections.take(socket);
  }

  /** Has every client connect again, after its next answer. */
  renewConnections(): void {
    this.#connections.renew();
  }

  /** Resolves when the last connection is gone. */
  untilDeserted(): Promise<void> {
    return this.#connections.untilGone();
  }

  /**
   * Not ready any more for load balancers, answers say `connection: close`, and what is under way is finished.
   * @returns whether all of it was, within `graceMs`
   */
  async drain(graceMs: number): Promise<boolean> {
    this.#life.draining = true;
    return this.#handler.untilIdle(graceMs);
  }

  /** Ends connections and what they wait for. Idempotent. */
  async stop(): Promise<void> {
    this.#life.draining = true;
    this.#life.unwatch();
    this.#sampler.stop();
    await this.#connections.close();
    await this.#admin.close();
    this.#fleet.close();
    await this.#journal.close();
    await this.#tracer?.close();
  }
}
