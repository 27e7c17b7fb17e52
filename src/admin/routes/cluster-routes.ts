import { z } from 'zod';
import type { DeploymentStatus, ReplicaDetail, StatusDocument } from '../../cluster/status/types.ts';
import { ServeError } from '../../lib/errors.ts';
import { gpuDetails } from '../answers/gpu-details.ts';
import { environmentList, modelList } from '../answers/measurement-answers.ts';
import * as answers from '../answers/status-answers.ts';
import { type Route, route } from '../route.ts';
import type { AdminBackend, GpuDetail, Measurements } from '../types.ts';

const eventsQuery = z.object({
  after: z
    .string()
    .regex(/^\d{1,19}(-\d{1,19})?$/, 'expected the id of an event, such as 1795188440000-0')
    .optional()
    .describe('id of the last event that is known'),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
const replicasQuery = z.object({
  deployment: z.string().optional().describe('only this deployment’s'),
  node: z.string().optional().describe('only those on this node'),
});
const gpusQuery = z.object({
  node: z.string().optional().describe('ids, separated by commas: only theirs'),
  replica: z.string().optional().describe('only those that it holds a share of, or uses'),
});
const environmentsQuery = z.object({ node: z.string().optional().describe('only those on this node') });
const modelsQuery = z.object({
  node: z.string().optional().describe('what this node keeps; else this head'),
});
const byNode = z.object({ node: z.string() });
const byName = z.object({ name: z.string() });
const byReplica = z.object({ replica: z.string() });

const tag = 'cluster';

/** What there is and how it does. */
export function clusterRoutes(backend: AdminBackend, measurements: Measurements): readonly Route[] {
  return [
    ...statusRoutes(backend),
    route({
      ...{ method: 'GET', path: '/api/v1/gpus', tag, query: gpusQuery, answer: answers.gpuList },
      summary: 'every GPU with its node, what is used of it, and by which replicas',
      handle: async ({ query }) => ({
        gpus: gpuDetails(await backend.status(), measurements.samples).filter(isWanted(query)),
      }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/events', tag, query: eventsQuery, answer: answers.eventList },
      summary: 'what happened, oldest first: the newest, or those after one that is known',
      handle: async ({ query: { after, limit } }) => await backend.events(after ?? null, limit),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/environments', tag, query: environmentsQuery },
      answer: environmentList,
      summary: 'environments that nodes have built, with who uses them',
      handle: async ({ query: { node } }) => await measurements.environments(node ?? null),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/models', tag, query: modelsQuery, answer: modelList },
      summary: 'models that the head or another node keeps, and those that are being fetched',
      handle: async ({ query: { node } }) => await backend.models(node ?? null),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/nodes/{node}/stop', tag, params: byNode, answer: answers.stopped },
      summary: 'drains one node and ends it; its replicas are started elsewhere first where they can be',
      handle: async ({ params: { node } }) => await backend.stopNode(node),
    }),
    route({
      ...{ method: 'POST', path: '/api/v1/stop', tag, answer: answers.stopped },
      summary: 'ends every node of the cluster, this head last',
      handle: async () => await backend.stopCluster(),
    }),
  ];
}

/** The whole status document, and parts of it for who wants no more. */
function statusRoutes(backend: AdminBackend): readonly Route[] {
  return [
    route({
      ...{ method: 'GET', path: '/api/v1/status', tag, answer: answers.status },
      summary: 'nodes, GPUs with free fractions, deployments, replicas, what is wrong',
      handle: async () => await backend.status(),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/nodes', tag, answer: answers.nodeList },
      summary: 'the nodes of the status, with their GPUs',
      handle: async () => ({ nodes: (await backend.status()).nodes }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/deployments', tag, answer: answers.deploymentList },
      summary: 'the deployments of the status',
      handle: async () => ({ deployments: (await backend.status()).deployments }),
    }),
    route({
      ...{
        method: 'GET',
        path: '/api/v1/deployments/{name}',
        tag,
        params: byName,
        answer: answers.deployment,
      },
      summary: 'one deployment of the status',
      handle: async ({ params: { name } }) => deploymentIn(await backend.status(), name),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/replicas', tag, query: replicasQuery, answer: answers.replicaList },
      summary: 'replicas, with their deployment',
      handle: async ({ query }) => ({ replicas: replicasOf(await backend.status(), query) }),
    }),
    route({
      ...{ method: 'GET', path: '/api/v1/replicas/{replica}', tag, params: byReplica },
      answer: answers.replicaAbout,
      summary: 'one replica, with its package, its models and what it runs in',
      handle: async ({ params: { replica } }) => await backend.replica(replica),
    }),
  ];
}

function isWanted({ node, replica }: z.infer<typeof gpusQuery>): (gpu: GpuDetail) => boolean {
  const nodes = node?.split(',');
  return (gpu) =>
    (nodes === undefined || nodes.includes(gpu.node)) &&
    (replica === undefined || gpu.replicas.some((one) => one.replica === replica));
}

function deploymentIn({ deployments }: StatusDocument, name: string): DeploymentStatus {
  const found = deployments.find((one) => one.name === name);
  if (found !== undefined) return found;
  throw new ServeError(`there is no deployment ${name}: see /api/v1/deployments for what there is`, {
    code: 'DEPLOYMENT_UNKNOWN',
  });
}

function replicasOf(
  { deployments }: StatusDocument,
  { deployment, node }: z.infer<typeof replicasQuery>,
): readonly (ReplicaDetail & { readonly deployment: string })[] {
  return deployments
    .filter(({ name }) => deployment === undefined || name === deployment)
    .flatMap(({ name, replicas }) => replicas.map((replica) => ({ deployment: name, ...replica })))
    .filter((replica) => node === undefined || replica.node === node);
}
