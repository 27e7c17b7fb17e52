import { createHash } from 'node:crypto';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** Where a node keeps what, all below its state directory but for the sockets. */
export interface StatePaths {
  readonly root: string;
  /** cluster token, 0600 */
  readonly token: string;
  /** the tokens that this node knows, 0600: more than one while the cluster's is replaced */
  readonly tokenRing: string;
  /** held by the running node process */
  readonly lock: string;
  /** the node's id for life */
  readonly nodeId: string;
  /** the assignment that the node followed last */
  readonly assignment: string;
  /** a JSON record per detached process */
  readonly processes: string;
  /** log files of node process, ingress and store */
  readonly logs: string;
  /** `<deployment>/<replicaId>.log` */
  readonly replicaLogs: string;
  /** `<hash>/algopkg/<package>/…` */
  readonly snapshots: string;
  /** `<hash>`: the bytes of a model, a file or a folder */
  readonly models: string;
  /** `<hash>.json`: of each package and model that is whole on this node, its files and what they look like */
  readonly contents: string;
  /** `<hash>/`: packages and models that are being fetched */
  readonly partial: string;
  /** `<listing>.json`: what servers had under the URIs of models that are fetched while they are loaded */
  readonly listings: string;
  /** `<key>/Model_ZOO/<name>`: models under the names that a spec gives them */
  readonly views: string;
  /** projects that came from machines whose disk the head does not see */
  readonly uploads: string;
  /** SHA-256 of large files, and what URIs turned out to be, remembered between applies */
  readonly digests: string;
  /** `<number>.json`, fsynced */
  readonly revisions: string;
  readonly environments: string;
  /** JavaScript packages beside their node_modules, launch files, pycache */
  readonly stage: string;
  readonly routing: string;
  /** the cluster's authority (`ca.pem`), this node's certificate and its key */
  readonly tls: string;
  readonly store: string;
  /** what was measured in the last day */
  readonly series: string;
  /** `<listing>/`: models that lie in memory */
  readonly memory: string;
  /** Unix sockets: short whatever the state directory is, since their paths may have 107 bytes at most */
  readonly sockets: string;
}

export function statePaths(root: string): StatePaths {
  const short = createHash('sha256').update(root).digest('hex').slice(0, 12);
  return {
    root,
    token: join(root, 'token'),
    tokenRing: join(root, 'token-ring.json'),
    lock: join(root, 'lock.json'),
    nodeId: join(root, 'node-id'),
    assignment: join(root, 'assignment.json'),
    processes: join(root, 'processes'),
    logs: join(root, 'logs'),
    replicaLogs: join(root, 'logs', 'replicas'),
    snapshots: join(root, 'snapshots'),
    models: join(root, 'models'),
    contents: join(root, 'contents'),
    partial: join(root, 'partial'),
    listings: join(root, 'listings'),
    views: join(root, 'views'),
    uploads: join(root, 'uploads'),
    digests: join(root, 'digests'),
    revisions: join(root, 'revisions'),
    environments: join(root, 'environments'),
    stage: join(root, 'stage'),
    routing: join(root, 'routing.json'),
    tls: join(root, 'tls'),
    store: join(root, 'store'),
    series: join(root, 'series.gz'),
    memory: join('/dev/shm', `modelserve-${userInfo().uid}-${short}`),
    sockets: join(tmpdir(), `modelserve-${userInfo().uid}`, short),
  };
}

/** Socket of a replica; ingress and agent derive it from the id alone. */
export function replicaSocket(socketsDir: string, replicaId: string): string {
  return join(socketsDir, `r-${createHash('sha256').update(replicaId).digest('hex').slice(0, 16)}.sock`);
}

/** Sockets of the node process (stop, reports) and of the ingress (drain, state). */
export function agentSocket(socketsDir: string): string {
  return join(socketsDir, 'agent.sock');
}

/** Where processes ask whether a file of a model is there that is still being fetched. */
export function modelSocket(socketsDir: string): string {
  return join(socketsDir, 'models.sock');
}

export function ingressSocket(socketsDir: string): string {
  return join(socketsDir, 'ingress.sock');
}

/** What writes lines of its own. `access`: one for each request, where conf.ini asks for them. */
export const LOG_COMPONENTS = ['agent', 'controller', 'admin', 'ingress', 'access'] as const;
export type LogComponent = (typeof LOG_COMPONENTS)[number];

/** JSON lines of one component of this node; older ones in `.log.1` and so on. */
export function componentLog({ logs }: Pick<StatePaths, 'logs'>, component: LogComponent): string {
  return join(logs, `${component}.log`);
}
