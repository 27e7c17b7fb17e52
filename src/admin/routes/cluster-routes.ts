import { z } from 'zod';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { ServeError } from '../../lib/errors.ts';
import { type Route, route } from '../route.ts';
import type { AdminBackend, Measurements } from '../types.ts';

const eventsQuery = z.object({
  after: z.string().optional().describe('id of the last event that is known'),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
const replicasQuery = z.object({
  deployment: z.string().optional().describe('only this deployment’s'),
  node: z.string().optional().describe('only those on this node'),
});
const byName = z.object({ name: z.string() });

const tag = 'cluster';

/** What there is and how it does. */
export function clusterRoutes(backend: AdminBackend, measurements: Measurements): readonly Route[] {
  return [
    ...statusRoutes(backend),
    route({
      ...{ method: 'GET', path: '/api/v1/events', tag, query: eventsQuery },
      summary: 'what happened, oldest first: the newest, or those after one that is known',
      handle: async ({ query: { after, limit } }) => await backend.events(after ?? null, limit),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/environments', tag },
      summary: 'environments that nodes have built, with who uses them',
      handle: async () => await measurements.environments(),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/models', tag },
      summary: 'models that the head keeps, and those that are being fetched',
      handle: async () => await backend.models(),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/stop', tag },
      summary: 'ends every node of the cluster, this head last',
      handle: async () => await backend.stopCluster(),
    }),
  ];
}

/** The whole status document, and parts of it for who wants no more. */
function statusRoutes(backend: AdminBackend): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/status', tag },
      summary: 'nodes, GPUs with free fractions, deployments, replicas, what is wrong',
      handle: async () => await backend.status(),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/nodes', tag },
      summary: 'the nodes of the status, with their GPUs',
      handle: async () => ({ nodes: (await backend.status()).nodes }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/gpus', tag },
      summary: 'every GPU, with its node',
      handle: async () => ({ gpus: gpusOf(await backend.status()) }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/deployments', tag },
      summary: 'the deployments of the status',
      handle: async () => ({ deployments: (await backend.status()).deployments }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/deployments/{name}', tag, params: byName },
      summary: 'one deployment of the status',
      handle: async ({ params: { name } }) => deploymentIn(await backend.status(), name),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/replicas', tag, query: replicasQuery },
      summary: 'replicas, with their deployment',
      handle: async ({ query }) => ({ replicas: replicasOf(await backend.status(), query) }),
    }),
  ];
}

function gpusOf({ nodes }: StatusDocument): readonly object[] {
  return nodes.flatMap(({ id, gpus }) => gpus.map((gpu) => ({ node: id, ...gpu })));
}

function deploymentIn({ deployments }: StatusDocument, name: string): object {
  const found = deployments.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new ServeError(`there is no deployment ${name}: see /api/v1/deployments for what there is`, {
    code: 'DEPLOYMENT_UNKNOWN',
  });
}

function replicasOf(
  { deployments }: StatusDocument,
  { deployment, node }: z.infer<typeof replicasQuery>,
): readonly object[] {
  return deployments
    .filter(({ name }) => deployment === undefined || name === deployment)
    .flatMap(({ name, replicas }) => replicas.map((replica) => ({ deployment: name, ...replica })))
    .filter((replica) => node === undefined || replica.node === node);
}
