import { countOf, type Histogram } from '../../cluster/metrics/histogram.ts';
import type { DeploymentSample, DeploymentWork, NodeSample } from '../../cluster/metrics/samples.ts';
import type { ReplicaPhase } from '../../cluster/replicas/types.ts';
import type { StatusDocument } from '../../cluster/status/types.ts';
import { Exposition, type Sample } from './exposition.ts';
import { addGpus } from './gpu-metrics.ts';
import { addProcesses, addRequests, labelled } from './request-metrics.ts';

export interface ClusterFacts {
  readonly version: string;
  readonly status: StatusDocument;
  /** whether the head that is asked leads, and how long its looks at the cluster took */
  readonly isLeader: boolean;
  readonly epoch: number;
  readonly looks: Histogram;
  /** as nodes answered last */
  readonly nodes: readonly NodeSample[];
  readonly totals: readonly DeploymentSample[];
  readonly works: readonly DeploymentWork[];
}

/** What a head says of the whole cluster, under `/metrics`. */
export function clusterExposition(facts: ClusterFacts): string {
  const exposition = new Exposition();
  exposition.gauge('modelserve_build_info', 'The version of modelserve.', [[{ version: facts.version }, 1]]);
  addLeadership(exposition, facts);
  addRequests(exposition, facts.totals);
  addWorks(exposition, facts.works);
  addDeployments(exposition, facts.status);
  addReplicas(exposition, facts.status);
  addNodes(exposition, facts);
  addMachines(exposition, facts.nodes);
  addGpus(exposition, facts);
  const processes = facts.nodes.flatMap(({ nodeId, process, ingress }) =>
    labelled([process, ...(ingress?.processes ?? [])], { node: nodeId }),
  );
  addProcesses(exposition, processes);
  return exposition.text;
}

function addLeadership(exposition: Exposition, { status, isLeader, epoch, looks }: ClusterFacts): void {
  exposition.gauge('modelserve_leader', '1 where this head leads the cluster.', [[{}, Number(isLeader)]]);
  exposition.gauge('modelserve_leader_epoch', 'How often leadership has changed.', [[{}, epoch]]);
  exposition.gauge('modelserve_store_up', '1 where this head reaches the store.', [
    [{}, Number(status.store.ok)],
  ]);
  exposition.gauge('modelserve_revision', 'The newest revision.', [[{}, status.revision]]);
  if (countOf(looks) > 0) {
    exposition.histogram(
      'modelserve_control_loop_duration_seconds',
      'How long the controller took to look at the cluster and act on it.',
      [[{}, looks]],
    );
  }
}

/** 1 to 4096: the most that max_batch_size takes. */
const BATCH_BOUNDS: readonly number[] = Array.from({ length: 13 }, (_, step) => 2 ** step);

function addWorks(exposition: Exposition, works: readonly DeploymentWork[]): void {
  exposition.histogram(
    'modelserve_request_user_code_seconds',
    'How long calls were in user code; those of a batch as long as the batch.',
    works.filter(({ times }) => countOf(times) > 0).map((one) => [{ deployment: one.deployment }, one.times]),
  );
  exposition.sizes(
    { name: 'modelserve_batch_size', help: 'Calls in a batch.', bounds: BATCH_BOUNDS },
    works
      .filter(({ batches }) => batches.sum > 0)
      .map((one) => [{ deployment: one.deployment }, one.batches]),
  );
}

const HEALTHS = ['PENDING', 'UPDATING', 'HEALTHY', 'DEGRADED', 'UNHEALTHY', 'DEPLOY_FAILED', 'STOPPING'];

function addDeployments(exposition: Exposition, { deployments }: StatusDocument): void {
  exposition.gauge(
    'modelserve_deployment_status',
    'The status of a deployment: 1 for the one that it has.',
    deployments.flatMap(({ name, status }) =>
      HEALTHS.map((one): Sample => [{ deployment: name, status: one }, Number(status === one)]),
    ),
  );
  exposition.gauge(
    'modelserve_deployment_replicas_wanted',
    'Replicas that a deployment shall have.',
    deployments.map(({ name, target }) => [{ deployment: name }, target]),
  );
  exposition.gauge(
    'modelserve_deployment_replicas_ready',
    'Replicas of a deployment that are ready.',
    deployments.map(({ name, ready }) => [{ deployment: name }, ready]),
  );
  exposition.gauge(
    'modelserve_lost_requests',
    'The last requests that were given up because replicas died with them; ten a node at most.',
    deployments.map(({ name, lost_requests }) => [{ deployment: name }, lost_requests.length]),
  );
}

const PHASES: readonly ReplicaPhase[] = [
  ...(['pending', 'preparing', 'starting', 'ready', 'suspect', 'draining', 'failed', 'stopped'] as const),
];

/** By deployment and phase: replicas themselves come and go, and each would be a label for good. */
function addReplicas(exposition: Exposition, { deployments }: StatusDocument): void {
  exposition.gauge(
    'modelserve_replicas',
    'Replicas by what they are doing.',
    deployments.flatMap(({ name, replicas }) =>
      PHASES.map(
        (phase): Sample => [
          { deployment: name, phase },
          replicas.filter((replica) => replica.phase === phase).length,
        ],
      ),
    ),
  );
  exposition.gauge(
    'modelserve_replica_restarts',
    'How often the replicas that are there now were started again.',
    deployments.map(({ name, replicas }) => [
      { deployment: name },
      replicas.reduce((sum, { restarts }) => sum + restarts, 0),
    ]),
  );
}

function addNodes(exposition: Exposition, { status, nodes }: ClusterFacts): void {
  exposition.gauge(
    'modelserve_node_up',
    '1 where a node’s lease is held.',
    status.nodes.map(({ id, alive }) => [{ node: id }, Number(alive)]),
  );
  const answered = new Set(nodes.map(({ nodeId }) => nodeId));
  exposition.gauge(
    'modelserve_node_answers',
    '1 where a node said what it measured when it was asked last.',
    status.nodes.map(({ id }) => [{ node: id }, Number(answered.has(id))]),
  );
  exposition.gauge(
    'modelserve_node_environments',
    'Environments of a node, built and being built.',
    nodes.flatMap(({ nodeId: node, environments }): Sample[] => [
      [{ node, state: 'ready' }, environments.ready],
      [{ node, state: 'building' }, environments.building],
    ]),
  );
  addBuilds(exposition, nodes);
  exposition.gauge(
    'modelserve_node_model_bytes',
    'Bytes of models that a node keeps.',
    nodes.map(({ nodeId, modelBytes }) => [{ node: nodeId }, modelBytes]),
  );
  exposition.gauge(
    'modelserve_node_client_connections',
    'Open connections of clients to a node.',
    nodes.map(({ nodeId, ingress }) => [{ node: nodeId }, ingress?.connections ?? 0]),
  );
  exposition.counter(
    'modelserve_node_unrouted_requests_total',
    'Requests to a node whose path is no deployment’s.',
    nodes.map(({ nodeId, ingress }) => [{ node: nodeId }, ingress?.unrouted ?? 0]),
  );
}

function addBuilds(exposition: Exposition, nodes: readonly NodeSample[]): void {
  exposition.counter(
    'modelserve_environment_builds_total',
    'Environments that a node has built, or failed to, since its process began.',
    nodes.flatMap(({ nodeId: node, builds }): Sample[] =>
      builds === undefined
        ? []
        : [
            [{ node, outcome: 'built' }, builds.built],
            [{ node, outcome: 'failed' }, builds.failed],
          ],
    ),
  );
  exposition.counter(
    'modelserve_environment_build_seconds_total',
    'How long that took.',
    nodes.flatMap(({ nodeId: node, builds }): Sample[] =>
      builds === undefined ? [] : [[{ node }, builds.seconds]],
    ),
  );
}

function addMachines(exposition: Exposition, nodes: readonly NodeSample[]): void {
  exposition.counter(
    'modelserve_node_cpu_busy_seconds_total',
    'CPU time that a machine has spent, by all its programs.',
    nodes.map(({ nodeId, machine }) => [{ node: nodeId }, machine.cpuBusyS]),
  );
  exposition.gauge(
    'modelserve_node_memory_used_bytes',
    'Memory that a machine has in use.',
    nodes.map(({ nodeId, machine }) => [{ node: nodeId }, machine.memoryUsedBytes]),
  );
  exposition.gauge(
    'modelserve_node_memory_bytes',
    'Memory of a machine.',
    nodes.map(({ nodeId, machine }) => [{ node: nodeId }, machine.memoryTotalBytes]),
  );
}
