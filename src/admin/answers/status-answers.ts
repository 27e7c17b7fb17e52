import { z } from 'zod';
import type { DeploymentStatus, NodeStatus, Progress, StatusDocument } from '../../cluster/status/types.ts';
import type { ClusterEvent } from '../../store/types.ts';
import type { GpuDetail, ReplicaAbout, ReplicaGpu } from '../types.ts';

/** What the calls about the cluster answer; the types beside them say more about each field. */
const health = z
  .enum(['PENDING', 'UPDATING', 'HEALTHY', 'DEGRADED', 'UNHEALTHY', 'DEPLOY_FAILED', 'STOPPING'])
  .meta({ id: 'DeploymentHealth' });
const phase = z
  .enum(['pending', 'preparing', 'starting', 'ready', 'suspect', 'draining', 'stopped', 'failed'])
  .meta({ id: 'ReplicaPhase' });

const gpuFields = {
  index: z.number(),
  uuid: z.string(),
  name: z.string(),
  virtual: z.boolean().describe('declared by --num-gpus'),
  usable: z.boolean(),
  reason: z.string().nullable().describe('why it is not usable'),
  free: z.number().describe('fraction that no replica holds, 0 to 1'),
};

const node = z
  .object({
    id: z.string(),
    role: z.enum(['head', 'worker']),
    hostname: z.string(),
    address: z.string(),
    http: z.string().describe('base URL of its ingress'),
    alive: z.boolean(),
    draining: z.boolean(),
    cpus: z.number(),
    gpus: z.array(z.object(gpuFields)),
  })
  .meta({ id: 'Node' }) satisfies z.ZodType<NodeStatus>;

const replicaFields = {
  id: z.string(),
  node: z.string(),
  pid: z.number().nullable(),
  phase,
  since: z.string().nullable().describe('ISO 8601, when the phase began'),
  message: z.string(),
  revision: z.number(),
  gpus: z.array(z.object({ index: z.number(), uuid: z.string(), fraction: z.number() })),
  restarts: z.number(),
  started_at: z.string().nullable().describe('ISO 8601'),
  error: z.string().nullable().describe('what it said when it failed last'),
};

const lostRequest = z.object({
  request_id: z.string(),
  path: z.string(),
  node: z.string(),
  deaths: z.number().describe('replicas that died while they had it'),
  at: z.string().describe('ISO 8601'),
});

export const deployment = z
  .object({
    name: z.string(),
    route: z.string(),
    methods: z.array(z.string()),
    status: health,
    revision: z.number().nullable().describe('the one that is wanted'),
    serving_revision: z.number().nullable().describe('the one that serves; null: none does'),
    target: z.number(),
    ready: z.number(),
    message: z.string(),
    error: z.string().nullable().describe('traceback of the last failed change'),
    replicas: z.array(z.object(replicaFields)),
    lost_requests: z.array(lostRequest).describe('given up because replicas died with them, newest first'),
  })
  .meta({ id: 'Deployment' }) satisfies z.ZodType<DeploymentStatus>;

export const rotationPhase = z.enum(['accept', 'use', 'drop', 'back', 'restore']);
const tokenRotation = z.object({
  phase: rotationPhase,
  since: z.string().describe('when the phase began'),
  reason: z.string().nullable().describe('why it goes back'),
  waiting_for: z.array(z.string()).describe('live nodes that have not followed the phase'),
});

export const status = z
  .object({
    version: z.literal(1),
    cluster: z.string(),
    leader: z.string().nullable().describe('node id'),
    revision: z.number().describe('the newest one, 0 before the first apply'),
    store: z.object({ kind: z.string(), ok: z.boolean() }),
    token_rotation: tokenRotation.nullable().describe('null: none is under way, or this head does not lead'),
    nodes: z.array(node),
    deployments: z.array(deployment),
  })
  .meta({ id: 'Status' }) satisfies z.ZodType<StatusDocument>;

export const nodeList = z.object({ nodes: z.array(node) });
const replicaGpu = z.object({
  replica: z.string(),
  deployment: z.string(),
  fraction: z.number().describe('that it holds, 0 to 1; 0: it uses one that it has no share of'),
  memory_share_bytes: z.number().nullable().describe('what its share comes to; null: not known'),
  memory_used_bytes: z.number().nullable().describe('by all its processes; null: the driver does not say'),
  busy: z
    .number()
    .nullable()
    .describe('share of the last second in which its kernels ran, 0 to 1; null: the driver does not say'),
}) satisfies z.ZodType<ReplicaGpu>;

const gpu = z
  .object({
    node: z.string(),
    ...gpuFields,
    memory_bytes: z.number().nullable().describe('null: declared, or its node has not answered'),
    memory_used_bytes: z.number().nullable().describe('by all programs; null: the driver does not say'),
    busy: z.number().nullable().describe('0 to 1; null: the driver does not say'),
    replicas: z.array(replicaGpu).describe('that hold a share of it, or use it'),
  })
  .meta({ id: 'Gpu' }) satisfies z.ZodType<GpuDetail>;

export const gpuList = z.object({ gpus: z.array(gpu) });
export const deploymentList = z.object({ deployments: z.array(deployment) });
export const replicaList = z.object({
  replicas: z.array(z.object({ deployment: z.string(), ...replicaFields })),
});

export const replicaAbout = z
  .object({
    deployment: z.string(),
    ...replicaFields,
    package: z.object({ name: z.string(), hash: z.string() }),
    backend: z.string().describe('class'),
    python: z.string().nullable().describe('as the section asks for it'),
    environment: z
      .string()
      .nullable()
      .describe('as the section asks for it; null: the package’s files decide'),
    variables: z.array(z.string()).describe('names of the environment variables that the section sets'),
    models: z.array(
      z.object({
        name: z.string().describe('relative to the model folder that the class gets'),
        size_bytes: z.number(),
        sha256: z.string().nullable().describe('null: it is fetched while it is loaded'),
      }),
    ),
  })
  .meta({ id: 'ReplicaAbout' }) satisfies z.ZodType<ReplicaAbout>;

export const progress = z
  .object({
    revision: z.number(),
    supersededBy: z.number().nullable(),
    done: z.boolean(),
    deployments: z.array(
      z.object({
        name: z.string(),
        status: z.union([health, z.literal('GONE')]),
        settled: z.boolean(),
        failed: z.boolean(),
        target: z.number(),
        ready: z.number(),
        message: z.string(),
        error: z.string().nullable(),
        moving: z.boolean().describe('something is under way that ends by itself'),
        replicas: z.array(z.string()),
        preparing: z.array(z.object({ node: z.string(), line: z.string(), forMs: z.number() })),
      }),
    ),
    waitingFor: z.array(z.string()).describe('ingresses that do not serve the newest routing table yet'),
  })
  .meta({ id: 'Progress' }) satisfies z.ZodType<Progress>;

export const eventList = z.array(
  z
    .object({
      id: z.string(),
      atMs: z.number(),
      type: z.string().describe('past tense: `node-joined`, `rollout-failed` …'),
      fields: z.record(z.string(), z.json()),
    })
    .meta({ id: 'Event' }) satisfies z.ZodType<ClusterEvent>,
);

export const stopped = z.object({ left: z.array(z.string()).describe('nodes that did not leave in time') });
