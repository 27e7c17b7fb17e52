import type { Topic } from './types.ts';

/** Every topic, for subscriptions that ask for all. */
export const TOPICS: readonly Topic[] = [
  'nodes',
  'reports',
  'assignments',
  'routing',
  'revision',
  'leader',
  'ingresses',
  'rotation',
];

/** The hash tag of keys where nobody says which cluster they belong to. */
const DEFAULT_PREFIX = 'modelserve';

/** The hash tag of a cluster's keys: several clusters may share a server that was given to them. */
export function clusterPrefix(clusterId: string): string {
  return `${DEFAULT_PREFIX}-${clusterId}`;
}

/** Names of all keys and channels of one cluster. They share the hash tag `{prefix}`: scripts may touch several. */
export interface StoreKeys {
  /** string: STORE_SCHEMA_VERSION of who wrote the data */
  schema(): string;
  /** string with a TTL: `<epoch> <candidateId>` */
  leader(): string;
  /** string: the highest epoch given out */
  epoch(): string;
  /** string: the random name of this life of the data */
  incarnation(): string;
  /** integer: writes by leaders in this incarnation */
  writes(): string;
  /** string: run id of the server process that the last campaign was held on */
  serverRun(): string;
  /** hash: number, revision, rollouts */
  revision(): string;
  /** hash by node id: NodeRecord */
  nodes(): string;
  /** string with a TTL: the node lives */
  nodeLease(nodeId: string): string;
  /** hash by node id: NodeReport */
  reports(): string;
  /** hash by node id: NodeAssignment */
  assignments(): string;
  /** hash by node id: IngressEntry */
  ingresses(): string;
  /** string: RoutingTable */
  routing(): string;
  /** string: Rotation */
  rotation(): string;
  /** stream: ClusterEvent without id and time, which are the entry's id */
  events(): string;
  /** what BullMQ puts in front of its keys */
  jobs(): string;
  /** pub/sub channel of a topic's hints */
  hints(topic: Topic): string;
}

export function storeKeys(prefix: string = DEFAULT_PREFIX): StoreKeys {
  const tag = `{${prefix}}`;
  return {
    schema: () => `${tag}:schema`,
    leader: () => `${tag}:leader`,
    epoch: () => `${tag}:epoch`,
    incarnation: () => `${tag}:incarnation`,
    writes: () => `${tag}:writes`,
    serverRun: () => `${tag}:server-run`,
    revision: () => `${tag}:revision`,
    nodes: () => `${tag}:nodes`,
    nodeLease: (nodeId) => `${tag}:node:${nodeId}:lease`,
    reports: () => `${tag}:reports`,
    assignments: () => `${tag}:assignments`,
    ingresses: () => `${tag}:ingresses`,
    routing: () => `${tag}:routing`,
    rotation: () => `${tag}:rotation`,
    events: () => `${tag}:events`,
    jobs: () => `${tag}:jobs`,
    hints: (topic) => `${tag}:hints:${topic}`,
  };
}
