import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Dispatcher } from 'undici';
import { sizeText } from '../cluster/placement/amounts.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { overTls } from '../lib/tls/https-server.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { docsPage } from './docs-page.ts';
import { type AdminKeys, Guard } from './guard.ts';
import { openApiDocument } from './openapi.ts';
import { addPages } from './pages.ts';
import { addRoutes, type Route } from './route.ts';
import { applyRoutes, uploadRoutes } from './routes/apply-routes.ts';
import { clusterRoutes } from './routes/cluster-routes.ts';
import { measurementRoutes } from './routes/measurement-routes.ts';
import { revisionRoutes } from './routes/revision-routes.ts';
import { sessionRoutes } from './routes/session-routes.ts';
import { streamRoutes } from './routes/stream-routes.ts';
import { tokenRoutes } from './routes/token-routes.ts';
import { trialRoutes } from './routes/trial-routes.ts';
import type {
  AdminBackend,
  LiveSource,
  LogSource,
  Measurements,
  RevisionDesk,
  TokenDesk,
  UploadDesk,
} from './types.ts';

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  readonly keys: AdminKeys;
  /** nobody changes anything by this API */
  readonly isReadOnly: boolean;
  /** null: plain HTTP */
  readonly tls: LiveTls | null;
  /** of modelserve */
  readonly version: string;
}

export interface AdminDependencies {
  readonly backend: AdminBackend;
  readonly uploads: UploadDesk;
  readonly revisions: RevisionDesk;
  readonly measurements: Measurements;
  readonly logs: LogSource;
  readonly live: LiveSource;
  readonly tokens: TokenDesk;
  /** connections to the nodes' HTTP ports */
  readonly routes: Dispatcher;
  readonly log: Log;
}

/** HTTP status of an error code; what is not listed is a fault of ours: 500. */
const STATUS_OF: Readonly<Record<string, number>> = {
  BAD_REQUEST: 400,
  TOKEN_REFUSED: 401,
  ORIGIN_REFUSED: 403,
  READ_ONLY: 403,
  LOGIN_LIMIT: 429,
  TRIAL_FAILED: 502,
  LOG_NOT_FOUND: 404,
  UPLOAD_UNKNOWN: 404,
  DEPLOYMENT_UNKNOWN: 404,
  NODE_UNKNOWN: 404,
  REPLICA_UNKNOWN: 404,
  REVISION_UNKNOWN: 404,
  REVISION_MOVED: 409,
  ROTATION_RUNS: 409,
  ROTATION_REFUSED: 409,
  REVISION_INCOMPLETE: 409,
  CONF_ELSEWHERE: 409,
  UPLOAD_OFFSET: 409,
  UPLOAD_INCOMPLETE: 409,
  UPLOAD_REFUSED: 422,
  UPLOAD_DAMAGED: 422,
  CONTENT_UNSAFE: 422,
  DISK_FULL: 507,
  STORE_UNREACHABLE: 503,
  NOT_LEADER: 503,
  NODE_SILENT: 503,
  APPLY_TIMEOUT: 503,
  STREAM_LIMIT: 503,
};

/** Connections at once, whoever they are: more would take the descriptors that the head needs for the cluster. */
const MAX_CONNECTIONS = 1_024;

/**
 * The admin API (`/api/v1`), which the command line and the dashboard speak to, and the dashboard's files. Every call needs
 * the cluster's key, or a browser's login; errors are JSON `{code, info}`.
 */
export class AdminServer {
  readonly #options: AdminOptions;
  readonly #dependencies: AdminDependencies;
  readonly #app: FastifyInstance;
  /** calls whose answer is not over */
  readonly #open = new Map<FastifyRequest, FastifyReply>();
  readonly #unfollow: readonly (() => void)[];

  constructor(options: AdminOptions, dependencies: AdminDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#app = Fastify({ forceCloseConnections: true, bodyLimit: 1024 * 1024, ...overTls(options.tls) });
    this.#app.server.maxConnections = MAX_CONNECTIONS;
    const guard = new Guard(options, dependencies.measurements);
    this.#app.addHook('onRequest', async (request, reply) => {
      guard.authorize(request);
      this.#open.set(request, reply);
    });
    this.#app.addHook('onResponse', async (request) => void this.#open.delete(request));
    this.#unfollow = [options.keys.api, options.keys.viewer].map((keys) =>
      keys.onChange(() => this.#endStrangers(guard)),
    );
    this.#app.setErrorHandler((error, request, reply) => this.#answerError(error, request, reply));
    this.#app.setNotFoundHandler((request, reply) =>
      reply.code(404).send({ code: 'NOT_FOUND', info: `there is no ${request.method} ${request.url} here` }),
    );
    this.#app.addContentTypeParser('application/octet-stream', (_request, payload, done) =>
      done(null, payload),
    );
    addPages(this.#app);
    const routes = [...routesOf(dependencies), ...sessionRoutes(guard)];
    addRoutes(this.#app, routes);
    this.#describe(routes);
  }

  /** @throws the listen error (EADDRINUSE, EACCES, …) */
  async start(): Promise<void> {
    await this.#app.listen({ host: this.#options.host, port: this.#options.port });
  }

  /** the port it listens on, which differs from the option where that is 0 */
  get port(): number {
    const address = this.#app.server.address();
    return typeof address === 'object' && address !== null ? address.port : this.#options.port;
  }

  async stop(): Promise<void> {
    for (const unfollow of this.#unfollow) unfollow();
    await this.#app.close();
  }

  /** What goes on for as long as its client stays ends with the key that let the client in. What changes something is finished. */
  #endStrangers(guard: Guard): void {
    for (const [request, reply] of this.#open) {
      if (request.method !== 'GET') continue;
      try {
        guard.authorize(request);
      } catch {
        reply.raw.destroy();
      }
    }
  }

  #describe(routes: readonly Route[]): void {
    const { version } = this.#options;
    const document = openApiDocument(routes, { version });
    const page = docsPage(routes, version);
    this.#app.get('/api/v1/openapi.json', () => document);
    this.#app.get('/docs', (_request, reply) => reply.type('text/html; charset=utf-8').send(page));
  }

  async #answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const code = codeOf(error) ?? 'INTERNAL';
    const status = STATUS_OF[code] ?? httpStatusOf(error);
    if (status >= 500)
      this.#dependencies.log.error({ code, error: messageOf(error) }, 'an admin call failed');
    const { bodyLimit = 0 } = request.routeOptions;
    const tooLarge = `expected a body of at most ${sizeText(bodyLimit)}, found a larger one`;
    const info = code === 'FST_ERR_CTP_BODY_TOO_LARGE' ? tooLarge : messageOf(error);
    await reply.code(status).send({ code, info });
  }
}

function routesOf(dependencies: AdminDependencies): readonly Route[] {
  const { backend, uploads, revisions, measurements, logs, live, tokens, routes } = dependencies;
  return [
    ...clusterRoutes(backend, measurements),
    ...applyRoutes(backend),
    ...revisionRoutes(revisions),
    ...measurementRoutes(measurements),
    ...streamRoutes(logs, live),
    ...uploadRoutes(uploads),
    ...trialRoutes(backend, routes),
    ...tokenRoutes(tokens),
  ];
}

function httpStatusOf(error: unknown): number {
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500;
  return typeof status === 'number' ? status : 500;
}
