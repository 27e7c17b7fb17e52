import type { FastifyInstance } from 'fastify';
import { LinkServer } from '../channel/link-server.ts';
import type { RequestHead } from '../channel/messages.ts';
import type { RequestListener, ServerStream } from '../channel/server-streams.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import type { StatePaths } from '../config/paths.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { isLoopback } from '../lib/loopback.ts';
import { adminRoutes } from './admin-routes.ts';
import { ByteBudget } from './byte-budget.ts';
import { Casualties } from './casualties.ts';
import { Dispatcher } from './dispatcher.ts';
import { Fleet } from './fleet.ts';
import { createFront } from './http-front.ts';
import { HttpListener } from './http-listener.ts';
import { deafListener, splice } from './link-service.ts';
import { ListenError } from './listening.ts';
import { answerLogs } from './log-service.ts';
import { RequestHandler } from './request-handler.ts';
import { RoutingSource, type RoutingStore } from './routing-source.ts';
import { watchSockets } from './socket-watch.ts';
import type { IngressState } from './state.ts';

export interface IngressOptions {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly linkKey: string;
  readonly version: string;
  /** where HTTP and links listen */
  readonly host: string;
  /** for HTTP before a routing table names one; null: wait for the table */
  readonly httpPort: number | null;
  /** the routing table does not change the port */
  readonly httpPortFixed: boolean;
  /** 0, or one taken by somebody else: any free one */
  readonly linkPort: number;
  readonly paths: StatePaths;
  readonly limits: IngressLimits;
}

export interface IngressLimits {
  /** of all request bodies that are kept for another try */
  readonly retryBufferBytes: number;
  readonly headersTimeoutMs: number;
  readonly maxHeaderBytes: number;
  /** how often the store is asked for a newer routing table without a hint */
  readonly pollMs: number;
}

export const DEFAULT_LIMITS: IngressLimits = {
  retryBufferBytes: 256 * 1024 * 1024,
  headersTimeoutMs: 20_000,
  // In the JSON of a request's head, which is one frame, quotes, tabs and what is not ASCII take two bytes each, and each
  // of a thousand fields, all that Node takes, brings 8 of its own: 24 KiB stay below the 64 KiB of a frame whatever is in them.
  maxHeaderBytes: 24 * 1024,
  pollMs: 5_000,
};

const DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024;

/** The parts, each of which knows only what it was given. */
interface Parts {
  readonly dispatcher: Dispatcher;
  readonly budget: ByteBudget;
  readonly casualties: Casualties;
  readonly handler: RequestHandler;
  readonly routing: RoutingSource;
  readonly fleet: Fleet;
  readonly links: LinkServer;
  readonly http: HttpListener;
  readonly admin: FastifyInstance;
}

/** The HTTP front of a node: puts its parts together, and starts, drains and stops them. */
export class Ingress {
  readonly #options: IngressOptions;
  readonly #log: Log;
  readonly #parts: Parts;
  #linkPort = 0;
  #unwatchSockets: (() => void) | null = null;
  #isStarted = false;
  #isDraining = false;
  /** what other nodes were told last */
  #announced = '[]';

  constructor(options: IngressOptions, dependencies: { readonly log: Log }) {
    this.#options = options;
    this.#log = dependencies.log;
    this.#parts = this.#assemble();
  }

  get state(): IngressState {
    const { budget, casualties, dispatcher, handler, http, routing } = this.#parts;
    const deployments = dispatcher.counts;
    return {
      pid: process.pid,
      nodeId: this.#options.nodeId,
      version: this.#options.version,
      host: this.#options.host,
      started: this.#isStarted,
      httpPort: http.port,
      linkPort: this.#linkPort,
      listenProblem: http.problem,
      routingVersion: routing.table?.version ?? -1,
      incarnation: routing.table?.incarnation ?? '',
      draining: this.#isDraining,
      open: handler.openCount,
      inFlight: deployments.reduce((sum, { inFlight }) => sum + inFlight, 0),
      queued: deployments.reduce((sum, { queued }) => sum + queued, 0),
      keptBytes: budget.takenBytes,
      deployments,
      poison: casualties.list,
    };
  }

  /**
   * Serves by the table of the last run, if there is one; needs no store.
   * @throws ListenError, when the HTTP port cannot be had
   */
  async start(): Promise<void> {
    const { host, httpPort, httpPortFixed, linkPort, paths } = this.#options;
    const { admin, fleet, http, links, routing } = this.#parts;
    await admin.ready();
    this.#unwatchSockets = watchSockets(paths.sockets, this.#log, () => fleet.hurry());
    await routing.loadSaved();
    this.#linkPort = await listenForLinks(links, host, linkPort);
    const port = httpPortFixed ? httpPort : (routing.table?.port ?? httpPort);
    if (port !== null) await http.use(port);
    this.#isStarted = true;
  }

  /** Takes routing tables from this store from now on. The store stays its owner's. */
  async follow(store: RoutingStore): Promise<void> {
    await this.#parts.routing.follow(store);
  }

  /**
   * Not ready any more for load balancers, answers say `connection: close`, and what is under way is finished.
   * @returns whether all of it was, within `graceMs`
   */
  async drain(graceMs: number): Promise<boolean> {
    this.#isDraining = true;
    return this.#parts.handler.untilIdle(graceMs);
  }

  /** Ends everything that start and follow began. Idempotent. */
  async stop(): Promise<void> {
    const { admin, fleet, http, links, routing } = this.#parts;
    this.#isDraining = true;
    this.#unwatchSockets?.();
    await routing.stop();
    await http.close();
    await admin.close();
    await links.close();
    fleet.close();
  }

  #assemble(): Parts {
    const options = this.#options;
    const { host, nodeId, clusterId, linkKey, paths, limits } = options;
    const log = this.#log;
    const isDraining = () => this.#isDraining;
    const dispatcher = new Dispatcher(Math.random);
    const budget = new ByteBudget(limits.retryBufferBytes);
    const casualties = new Casualties();
    const fleet = new Fleet(
      { nodeId, linkKey, log, random: Math.random, socketsDir: paths.sockets },
      { onRoom: (deployment) => dispatcher.pump(deployment), onLocalChange: () => this.#announce() },
    );
    const links = new LinkServer(
      { nodeId, linkKey },
      {
        ready: () => fleet.readyHere(),
        onRequest: (head, end, stream) => this.#serveLink(head, end, stream),
      },
    );
    const routing = new RoutingSource({ nodeId, log, file: paths.routing, pollMs: limits.pollMs }, (table) =>
      this.#adopt(table),
    );
    const handler = new RequestHandler({
      dispatcher,
      budget,
      casualties,
      maxBodyBytes: () => routing.table?.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES,
      isDraining,
      isLoopback: isLoopback(host),
    });
    const { version } = options;
    const admin = adminRoutes({
      nodeId,
      clusterId,
      version,
      dispatcher,
      table: () => routing.table,
      isDraining,
    });
    const http = new HttpListener({ host, clusterId, log }, () => createFront(limits, { handler, admin }));
    return { dispatcher, budget, casualties, handler, routing, fleet, links, http, admin };
  }

  #adopt(table: RoutingTable): void {
    const { dispatcher, fleet, http } = this.#parts;
    fleet.adopt(table);
    dispatcher.adopt(table, fleet.targets());
    this.#announce();
    const { version, revision, incarnation } = table;
    this.#log.info({ version, revision, incarnation }, 'routing table adopted');
    if (this.#isStarted && !this.#options.httpPortFixed) http.follow(table.port);
  }

  /** Tells linked nodes what is ready here, where that has changed. */
  #announce(): void {
    const announced = JSON.stringify(this.#parts.fleet.readyHere());
    if (announced === this.#announced) return;
    this.#announced = announced;
    this.#parts.links.announce();
  }

  #serveLink(head: RequestHead, end: boolean, stream: ServerStream): RequestListener {
    if (head.replica === '') return answerLogs(head, stream, this.#options.paths.replicaLogs);
    const target = this.#parts.fleet.localTarget(head.replica);
    if (target === null || !target.isUp) {
      stream.refuse(target === null ? 'unknown_replica' : 'not_ready');
      return deafListener;
    }
    return splice(head, end, { incoming: stream, target });
  }
}

/** The port of the last run if it is still free, so that other nodes find this one where it was. */
async function listenForLinks(links: LinkServer, host: string, port: number): Promise<number> {
  try {
    return await links.listen(host, port);
  } catch (error) {
    if (port === 0 || codeOf(error) !== 'EADDRINUSE') throw linkListenError(host, port, error);
    return links.listen(host, 0);
  }
}

function linkListenError(host: string, port: number, error: unknown): ListenError {
  return new ListenError(
    `cannot listen for other nodes on ${host}:${port}: ${messageOf(error)} (--host must be an address of this machine)`,
    { code: 'LISTEN_FAILED' },
    { cause: error },
  );
}
