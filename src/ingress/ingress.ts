import type { Socket } from 'node:net';
import { LinkServer } from '../channel/link-server.ts';
import type { RequestHead } from '../channel/messages.ts';
import type { RequestListener, ServerStream } from '../channel/server-streams.ts';
import { type IngressSample, sumIngress } from '../cluster/metrics/samples.ts';
import type { RoutingTable } from '../cluster/routing/types.ts';
import { componentLog, type StatePaths } from '../config/paths.ts';
import type { PathSecrets } from '../config/token.ts';
import type { TracingSettings } from '../config/tracing-settings.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import { LiveSecrets } from '../lib/live-secrets.ts';
import type { Log } from '../lib/log.ts';
import type { ForkedProcess } from '../lib/process/fork.ts';
import type { NodeTls, NodeTlsFiles } from '../lib/tls/node-tls.ts';
import { Helpers } from './helpers/helpers.ts';
import { HttpListener } from './http-listener.ts';
import { deafListener, splice } from './link-service.ts';
import { ListenError } from './listening.ts';
import { totalLoad } from './load.ts';
import { answerLogs } from './log-service.ts';
import { RequestPath, type RequestPathLimits } from './request-path.ts';
import { RoutingSource, type RoutingStore } from './routing-source.ts';
import type { IngressState } from './state.ts';

export interface IngressOptions {
  readonly nodeId: string;
  readonly clusterId: string;
  /** at the start; `useSecrets` gives others */
  readonly secrets: PathSecrets;
  /** for helpers, which open it themselves */
  readonly tls: NodeTlsFiles;
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
  /** null: no spans are made */
  readonly tracing: TracingSettings | null;
  readonly limits: IngressLimits;
}

export interface IngressLimits extends RequestPathLimits {
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

export interface IngressDependencies {
  readonly log: Log;
  /** what `IngressOptions.tls` names, opened; its owner starts and stops it */
  readonly tls: NodeTls;
  /** starts the program of a helper; used where a routing table asks for more than one process */
  readonly forkHelper: () => ForkedProcess;
}

/** The parts, each of which knows only what it was given. */
interface Parts {
  readonly path: RequestPath;
  readonly helpers: Helpers;
  readonly routing: RoutingSource;
  readonly links: LinkServer;
  readonly http: HttpListener;
}

/**
 * The HTTP front of a node: accepts, serves, and is there for other nodes. Where the routing table says so, helpers
 * serve a share of the connections; listening, links and routing stay with this, the main process.
 */
export class Ingress {
  readonly #options: IngressOptions;
  readonly #log: Log;
  readonly #parts: Parts;
  /** of links that others open; each request path has its own for those that it opens */
  readonly #linkKeys: LiveSecrets;
  readonly #startedAtMs = Date.now();
  #linkPort = 0;
  #isStarted = false;
  #isDraining = false;
  /** what other nodes were told last */
  #announced = '[]';

  constructor(options: IngressOptions, dependencies: IngressDependencies) {
    this.#options = options;
    this.#log = dependencies.log;
    this.#linkKeys = new LiveSecrets(...options.secrets.linkKeys);
    this.#parts = this.#assemble(dependencies);
  }

  /** With what the helpers said last of themselves. */
  get state(): IngressState {
    const { helpers, http, path, routing } = this.#parts;
    const { load } = path;
    const { pid, connections, open, inFlight, queued } = load;
    return {
      ...totalLoad([load, ...helpers.all.map((helper) => helper.load)], helpers.past),
      pid,
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
      processes: [{ pid, phase: 'main', connections, open, inFlight, queued }, ...helpers.states],
    };
  }

  /** The state, with what the helpers say now. */
  async report(): Promise<IngressState> {
    await this.#parts.helpers.refresh();
    return this.state;
  }

  /** What all its processes have counted. */
  async measure(): Promise<IngressSample> {
    const { helpers, path } = this.#parts;
    const others = await helpers.measure();
    const own = path.sample; // after them: it says which deployments there are
    const routed = new Set(own.deployments.map(({ deployment }) => deployment));
    const sum = sumIngress([own, ...others]);
    const deployments = sum.deployments.filter(({ deployment }) => routed.has(deployment));
    return { startedAtMs: this.#startedAtMs, ...sum, deployments };
  }

  /**
   * Serves by the table of the last run, if there is one; needs no store.
   * @throws ListenError, when the HTTP port cannot be had
   */
  async start(): Promise<void> {
    const { host, httpPort, httpPortFixed, linkPort } = this.#options;
    const { http, links, path, routing } = this.#parts;
    await path.start();
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

  /** Follows a change of the cluster's secrets in all its processes: see RequestPath.useSecrets. */
  async useSecrets(secrets: PathSecrets): Promise<void> {
    const { helpers, path } = this.#parts;
    await Promise.all([path.useSecrets(secrets), helpers.useSecrets(secrets)]);
    this.#linkKeys.use(secrets.linkKeys);
  }

  /**
   * Not ready any more for load balancers, answers say `connection: close`, and what is under way is finished.
   * @returns whether all of it was, within `graceMs`
   */
  async drain(graceMs: number): Promise<boolean> {
    this.#isDraining = true;
    const { helpers, path } = this.#parts;
    const drained = await Promise.all([path.drain(graceMs), helpers.drain(graceMs)]);
    return drained.every(Boolean);
  }

  /** Ends everything that start and follow began. Idempotent. */
  async stop(): Promise<void> {
    const { helpers, http, links, path, routing } = this.#parts;
    this.#isDraining = true;
    await routing.stop();
    await http.close();
    await Promise.all([path.stop(), helpers.stop()]);
    await links.close();
  }

  #assemble({ log, tls, forkHelper }: IngressDependencies): Parts {
    const { host, nodeId, clusterId, secrets, version, paths, limits, tracing } = this.#options;
    const measure = (): Promise<IngressSample> => this.measure();
    const pathOptions = {
      ...{ host, nodeId, clusterId, secrets, version, limits, tracing },
      socketsDir: paths.sockets,
      accessLog: componentLog(paths, 'access'),
      tls: this.#options.tls,
    };
    const onLocalChange = (): void => this.#announce();
    const path = new RequestPath(pathOptions, { log, tls, onLocalChange, measure, role: 'ingress' });
    const helpers = new Helpers(pathOptions, {
      ...{ log, measure },
      fork: forkHelper,
      onJoined: () => path.renewConnections(),
      onReturned: (socket) => this.#deal(socket),
    });
    const links = new LinkServer(
      { nodeId, linkKeys: this.#linkKeys, tls: tls.nodes },
      {
        ready: () => path.readyHere(),
        onRequest: (head, end, stream) => this.#serveLink(head, end, stream),
      },
    );
    const routing = new RoutingSource({ nodeId, log, file: paths.routing, pollMs: limits.pollMs }, (table) =>
      this.#adopt(table),
    );
    const http = new HttpListener(
      { host, clusterId, log },
      {
        onConnection: (socket) => this.#deal(socket),
        onMoved: () => {
          path.renewConnections();
          helpers.renew();
        },
      },
    );
    return { path, helpers, routing, links, http };
  }

  /** Whose turn it is gets the connection. */
  #deal(socket: Socket): void {
    const { helpers, path } = this.#parts;
    const helper = helpers.next();
    if (helper === null) path.take(socket);
    else helper.give(socket);
  }

  #adopt(read: RoutingTable): void {
    const table = { ...read, ingressProcesses: read.ingressProcesses ?? 1 }; // one of before an upgrade has none
    const { helpers, http, path } = this.#parts;
    path.adopt(table);
    helpers.adopt(table);
    this.#announce();
    const { version, revision, incarnation } = table;
    this.#log.info({ version, revision, incarnation }, 'routing table adopted');
    if (this.#isStarted && !this.#options.httpPortFixed) http.follow(table.port);
  }

  /** Tells linked nodes what is ready here, where that has changed. */
  #announce(): void {
    const announced = JSON.stringify(this.#parts.path.readyHere());
    if (announced === this.#announced) return;
    this.#announced = announced;
    this.#parts.links.announce();
  }

  #serveLink(head: RequestHead, end: boolean, stream: ServerStream): RequestListener {
    if (head.replica === '') return answerLogs(head, stream, this.#options.paths);
    const target = this.#parts.path.localTarget(head.replica);
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
