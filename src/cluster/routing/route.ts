import { canonicalJson } from '../../lib/json.ts';
import type { NodeRecord } from '../nodes/types.ts';
import type { NodeReport, ReplicaAssignment } from '../replicas/types.ts';
import { targetOf } from '../rollout/specs.ts';
import type { DeploymentState, Rollout } from '../rollout/types.ts';
import type { PinnedSpec, Revision } from '../spec/types.ts';
import { availabilityOf, type RoutedReplica } from './availability.ts';
import type { DeploymentRoute, RoutingTable } from './types.ts';

/** A routing table before a leader stamps it. */
type TableContent = Omit<RoutingTable, 'version' | 'epoch' | 'incarnation'>;

export interface RoutedNode {
  readonly record: Pick<NodeRecord, 'nodeId' | 'host' | 'linkPort'>;
  /** false: it counts as lost */
  readonly alive: boolean;
  readonly assigned: readonly ReplicaAssignment[];
  readonly report: NodeReport | null;
}

export interface RouteInput {
  readonly revision: Revision;
  readonly rollouts: readonly Rollout[];
  readonly states: readonly DeploymentState[];
  /** every node that was not forgotten: a lapsed lease takes nothing out of service */
  readonly nodes: readonly RoutedNode[];
}

/**
 * Who may serve what. A deployment whose section is gone is left out at once; one that failed for good stays, so that
 * its callers are told why. Endpoints are the replicas that shall run: whether one can, its channel says.
 */
export function route(input: RouteInput): TableContent {
  const { revision, rollouts, nodes } = input;
  return {
    revision: revision.number,
    maxBodyBytes: revision.settings.maxBodyBytes,
    port: revision.settings.port,
    ingressProcesses: revision.settings.ingressProcesses ?? 1, // a revision of before an upgrade has none
    metricsOpen: revision.settings.metricsOpen ?? false,
    accessLog: revision.settings.accessLog ?? false,
    deployments: rollouts
      .flatMap((rollout) => routeOf(rollout, input))
      .sort((left, right) => (left.deployment < right.deployment ? -1 : 1)),
    nodes: nodes
      .map(({ record: { nodeId, host, linkPort } }) => ({ nodeId, host, linkPort }))
      .sort((left, right) => (left.nodeId < right.nodeId ? -1 : 1)),
  };
}

/** Whether two tables say the same, whoever wrote them and when. */
export function sameTable(left: TableContent, right: TableContent): boolean {
  return canonicalJson(contentOf(left)) === canonicalJson(contentOf(right));
}

function contentOf(table: TableContent): TableContent {
  const { revision, maxBodyBytes, port, deployments, nodes } = table;
  const { ingressProcesses = 1, metricsOpen = false, accessLog = false } = table;
  return { revision, maxBodyBytes, port, ingressProcesses, metricsOpen, accessLog, deployments, nodes };
}

function routeOf(rollout: Rollout, input: RouteInput): DeploymentRoute[] {
  if (rollout.wanted === null) return [];
  const spec: PinnedSpec = (targetOf(rollout) ?? rollout.wanted).spec;
  const replicas = replicasOf(rollout.deployment, input.nodes);
  const state = input.states.find((candidate) => candidate.deployment === rollout.deployment);
  return [
    {
      deployment: rollout.deployment,
      route: spec.route,
      methods: spec.methods,
      maxQueuedRequests: spec.maxQueuedRequests,
      requestTimeoutMs: spec.requestTimeoutMs,
      retries: spec.retries,
      exposeErrors: spec.exposeErrors,
      apiKeys: spec.apiKeys ?? null, // a revision of before an upgrade has neither
      apiRatePerS: spec.apiRatePerS ?? 0,
      availability: availabilityOf(rollout, replicas, state),
      endpoints: replicas
        .map(({ nodeId, replicaId }) => ({ replicaId, nodeId }))
        .sort((left, right) => (left.replicaId < right.replicaId ? -1 : 1)),
    },
  ];
}

function replicasOf(deployment: string, nodes: readonly RoutedNode[]): RoutedReplica[] {
  return nodes.flatMap(({ record: { nodeId }, alive, assigned, report }) =>
    assigned
      .filter((assignment) => assignment.deployment === deployment && assignment.desired === 'run')
      .map(({ replicaId }) => ({
        nodeId,
        replicaId,
        onLostNode: !alive,
        status: report?.replicas.find((status) => status.assignment.replicaId === replicaId) ?? null,
      })),
  );
}
