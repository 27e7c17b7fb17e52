import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { IngressSample } from '../cluster/metrics/samples.ts';
import type { DeploymentRoute, RoutingTable } from '../cluster/routing/types.ts';
import { bearerKey } from '../lib/hash.ts';
import type { LiveSecrets } from '../lib/live-secrets.ts';
import { ingressExposition } from '../telemetry/metrics/request-metrics.ts';
import type { Dispatcher } from './dispatcher.ts';

/** Answers under `/-/` carry it: so an ingress that finds its port taken sees whether the holder is of its cluster. */
export const CLUSTER_HEADER = 'x-modelserve-cluster';

export interface AdminRouteDependencies {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly version: string;
  readonly dispatcher: Dispatcher;
  readonly table: () => RoutingTable | null;
  readonly isDraining: () => boolean;
  /** bearer keys for `/-/metrics` */
  readonly metricsKeys: LiveSecrets;
  readonly measure: () => Promise<IngressSample>;
}

/** What the ingress says of itself over HTTP: `/-/healthz`, `/-/readyz[/ROUTE]`, `/-/routes`, `/-/metrics`. Its caller serves it. */
export function adminRoutes(dependencies: AdminRouteDependencies): FastifyInstance {
  const { clusterId, nodeId, version, table } = dependencies;
  const app = fastify({ logger: false });
  app.addHook('onRequest', async (_request, reply) => {
    reply.header(CLUSTER_HEADER, clusterId);
  });
  app.get('/-/healthz', async () => ({ status: 1, node: nodeId, pid: process.pid, version }));
  app.get('/-/routes', async () => {
    const ready = new Map(dependencies.dispatcher.counts.map((counts) => [counts.deployment, counts.ready]));
    const routes =
      table()?.deployments.map((route) => describe(route, ready.get(route.deployment) ?? 0)) ?? [];
    return { status: 1, routes };
  });
  app.get<{ Params: { '*'?: string } }>('/-/readyz/*', async (request, reply) => {
    const info = notReadyBecause(dependencies, request.params['*'] ?? '');
    return info === null ? { status: 1 } : reply.code(503).send({ status: 0, code: 'NOT_READY', info });
  });
  app.get('/-/readyz', async (_request, reply) => {
    const info = notReadyBecause(dependencies, null);
    return info === null ? { status: 1 } : reply.code(503).send({ status: 0, code: 'NOT_READY', info });
  });
  app.get('/-/metrics', async (request, reply) => await metrics(dependencies, request, reply));
  app.setNotFoundHandler(async (request, reply) =>
    reply.code(404).send({
      status: 0,
      code: 'ROUTE_NOT_FOUND',
      info: `${request.method} ${request.url} is unknown; there are GET /-/healthz, /-/readyz, /-/readyz/ROUTE, /-/routes and /-/metrics`,
    }),
  );
  return app;
}

/** For Prometheus. They say what is served and how much it is called: who may see that is asked for. */
async function metrics(
  { metricsKeys, measure, table, version }: AdminRouteDependencies,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const isOpen = table()?.metricsOpen === true;
  if (!isOpen && !metricsKeys.accepts(bearerKey(request.headers.authorization))) {
    const info =
      'metrics need `authorization: Bearer KEY` with what `modelserve key metrics` prints (or metrics_open = on in conf.ini)';
    return reply.code(401).send({ status: 0, code: 'TOKEN_REFUSED', info });
  }
  const text = ingressExposition(await measure(), version);
  return reply.type('text/plain; version=0.0.4; charset=utf-8').send(text);
}

/** @param route of one deployment, or null for the ingress as a whole: any that can serve will do */
function notReadyBecause(dependencies: AdminRouteDependencies, route: string | null): string | null {
  const { dispatcher, isDraining, table } = dependencies;
  if (isDraining()) return 'this ingress is draining: send requests to another node';
  if (table() === null) return 'no routing table yet: the head has not published one, or cannot be reached';
  if (route === null) {
    const isUp = dispatcher.routes.some((name) => dispatcher.find(`/${name}`)?.isUp);
    return isUp ? null : `none of ${dispatcher.routes.length} deployments has a ready replica`;
  }
  const queue = dispatcher.find(`/${route}`);
  if (queue === null) return `there is no route /${route}`;
  if (queue.isUp) return null;
  const { availability, deployment } = queue.route;
  const message = 'message' in availability ? `: ${availability.message}` : '';
  return `${deployment} has no ready replica (${availability.state}${message})`;
}

function describe(route: DeploymentRoute, ready: number): object {
  return {
    route: `/${route.route}`,
    deployment: route.deployment,
    methods: route.methods,
    availability: route.availability.state,
    replicas: route.endpoints.length,
    ready,
  };
}
