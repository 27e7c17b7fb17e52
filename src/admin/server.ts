import { Readable } from 'node:stream';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { z } from 'zod';
import { codeOf, messageOf, ServeError } from '../lib/errors.ts';
import { bearerKey, isSameSecret } from '../lib/hash.ts';
import type { Log } from '../lib/log.ts';
import { parse } from './parse.ts';
import type { AdminBackend, LogSource, UploadDesk } from './types.ts';
import { addUploadRoutes } from './upload-routes.ts';

export interface AdminOptions {
  readonly host: string;
  readonly port: number;
  /** bearer key that every call needs */
  readonly apiKey: string;
}

export interface AdminDependencies {
  readonly backend: AdminBackend;
  readonly uploads: UploadDesk;
  readonly logs: LogSource;
  readonly log: Log;
}

const sourceBody = z
  .object({ conf: z.string().min(1), upload: z.string().nullable().default(null) })
  .transform(({ conf, upload }) => ({ confPath: conf, upload }));
const progressQuery = z.object({
  revision: z.coerce.number().int().nonnegative(),
  deployments: z.string().default(''),
});
const eventsQuery = z.object({
  after: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
const logsQuery = z.object({
  replica: z.string().optional(),
  lines: z.coerce.number().int().min(0).max(100_000).default(100),
  follow: z.enum(['0', '1']).default('0'),
});

/** HTTP status of an error code; what is not listed is a fault of ours: 500. */
const STATUS_OF: Readonly<Record<string, number>> = {
  BAD_REQUEST: 400,
  TOKEN_REFUSED: 401,
  LOG_NOT_FOUND: 404,
  UPLOAD_UNKNOWN: 404,
  UPLOAD_OFFSET: 409,
  UPLOAD_INCOMPLETE: 409,
  UPLOAD_REFUSED: 422,
  UPLOAD_DAMAGED: 422,
  CONTENT_UNSAFE: 422,
  DISK_FULL: 507,
  STORE_UNREACHABLE: 503,
  NOT_LEADER: 503,
  APPLY_TIMEOUT: 503,
};

/**
 * The admin API (`/api/v1`), which the command line speaks to. Every call needs the cluster's key; errors are JSON
 * `{code, info}`.
 */
export class AdminServer {
  readonly #options: AdminOptions;
  readonly #dependencies: AdminDependencies;
  readonly #app: FastifyInstance;

  constructor(options: AdminOptions, dependencies: AdminDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#app = Fastify({ forceCloseConnections: true, bodyLimit: 1024 * 1024 });
    this.#app.addHook('onRequest', async (request) => this.#authorize(request));
    this.#app.setErrorHandler((error, _request, reply) => this.#answerError(error, reply));
    this.#app.setNotFoundHandler((request, reply) =>
      reply.code(404).send({ code: 'NOT_FOUND', info: `there is no ${request.method} ${request.url} here` }),
    );
    this.#clusterRoutes();
    this.#applyRoutes();
    addUploadRoutes(this.#app, dependencies.uploads);
    this.#logRoutes();
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
    await this.#app.close();
  }

  #authorize(request: FastifyRequest): void {
    if (!isSameSecret(bearerKey(request.headers.authorization), this.#options.apiKey)) {
      throw new ServeError(
        'the token is missing or not that of this cluster. Give --token, --token-file or MODELSERVE_TOKEN.',
        {
          code: 'TOKEN_REFUSED',
        },
      );
    }
  }

  #clusterRoutes(): void {
    const { backend } = this.#dependencies;
    this.#app.get('/api/v1/status', async () => await backend.status());
    this.#app.get('/api/v1/events', async (request) => {
      const { after, limit } = parse(eventsQuery, request.query);
      return await backend.events(after ?? null, limit);
    });
    this.#app.post('/api/v1/stop', async () => await backend.stopCluster());
  }

  #applyRoutes(): void {
    const { backend } = this.#dependencies;
    this.#app.post(
      '/api/v1/plan',
      async (request, reply) => await backend.plan(parse(sourceBody, request.body), goneSignal(reply)),
    );
    this.#app.post(
      '/api/v1/apply',
      async (request, reply) => await backend.apply(parse(sourceBody, request.body), goneSignal(reply)),
    );
    this.#app.get('/api/v1/fetches', async () => ({ fetches: backend.fetches() }));
    this.#app.get('/api/v1/models', async () => await backend.models());
    this.#app.get('/api/v1/progress', async (request) => {
      const { revision, deployments } = parse(progressQuery, request.query);
      return backend.progress({
        revision,
        deployments: deployments.split(',').filter((name) => name !== ''),
      });
    });
  }

  #logRoutes(): void {
    const { logs } = this.#dependencies;
    this.#app.get<{ Params: { deployment: string } }>('/api/v1/logs/:deployment', async (request, reply) => {
      const { replica, lines, follow } = parse(logsQuery, request.query);
      const output = await logs.open(
        { deployment: request.params.deployment, replicaId: replica ?? null, lines, follow: follow === '1' },
        goneSignal(reply),
      );
      return reply.type('text/plain; charset=utf-8').send(Readable.from(output));
    });
  }

  async #answerError(error: unknown, reply: FastifyReply): Promise<void> {
    const code = codeOf(error) ?? 'INTERNAL';
    const status = STATUS_OF[code] ?? httpStatusOf(error);
    if (status >= 500)
      this.#dependencies.log.error({ code, error: messageOf(error) }, 'an admin call failed');
    await reply.code(status).send({ code, info: messageOf(error) });
  }
}

/** Aborted when the client has gone, or has its answer. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.on('close', () => gone.abort());
  return gone.signal;
}

function httpStatusOf(error: unknown): number {
  const status =
    typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500;
  return typeof status === 'number' ? status : 500;
}
