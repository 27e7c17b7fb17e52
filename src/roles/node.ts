import { hostname } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../agent/agent.ts';
import {
  ContentService,
  type ContentServiceDependencies,
  type ContentServiceOptions,
} from '../agent/content/content-service.ts';
import type { ContentNode } from '../agent/content/fetch-content.ts';
import type { NodeRole } from '../cluster/nodes/types.ts';
import type { PinnedSpec } from '../cluster/spec/types.ts';
import type { NodeModels } from '../cluster/status/models-document.ts';
import { childEnvironment, visibleDevices } from '../config/environment.ts';
import type { IngressLaunch } from '../config/ingress-launch.ts';
import type { StatePaths } from '../config/paths.ts';
import { readTracing } from '../config/tracing-settings.ts';
import { modelserveVersion } from '../config/version.ts';
import type { Log } from '../lib/log.ts';
import { packageRoot } from '../lib/package-root.ts';
import type { Store } from '../store/types.ts';
import { formatHostPort } from './addresses.ts';
import { backendPrograms } from './backend-programs.ts';
import type { Closers } from './closers.ts';
import { listModels } from './model-catalog.ts';
import type { NodeSecurity, TlsFlags } from './node-security.ts';
import { specsInForce } from './specs-on-disk.ts';
import type { NodeTokens } from './tokens/node-tokens.ts';
import { TokenFollower } from './tokens/token-follower.ts';

/** Nodes come and go by the second; fetches ask many times a second. */
const NODES_FRESH_MS = 1_000;

/** What a person says about a node on the command line. */
export interface NodeFlags {
  readonly stateDir: string;
  /** --http-port; null: conf.ini's */
  readonly httpPort: number | null;
  readonly numCpus: number | null;
  readonly numGpus: number | null;
  /** --model-cache; null: as much as the disk has */
  readonly modelCacheBytes: number | null;
  readonly tls: TlsFlags;
}

export interface StopHow {
  /** leave replicas, ingress and a managed store running for the next node process */
  readonly keepReplicas: boolean;
}

/** A running head or worker, as the command line holds it. */
export interface RunningNode {
  /** ends the node; idempotent */
  readonly stop: (how: StopHow) => Promise<void>;
  /** resolves when the node has ended, whoever asked for it */
  readonly ended: Promise<void>;
}

/** What roles tell a person, line by line. */
export type Say = (line: string) => void;

export interface AgentParts {
  readonly role: NodeRole;
  readonly flags: NodeFlags;
  readonly nodeId: string;
  readonly host: { readonly bound: string; readonly advertised: string };
  readonly paths: StatePaths;
  readonly tokens: NodeTokens;
  readonly security: NodeSecurity;
  readonly storeTarget: IngressLaunch['store'];
  readonly store: Store;
  readonly content: ContentService;
  readonly log: Log;
  /** the ingress port until a routing table names another */
  readonly port: number;
  readonly onLeaveRequested: () => void;
}

/** The agent of this machine with everything it needs of it. */
export function createAgent(parts: AgentParts): Agent {
  const { flags, nodeId, host, paths, tokens, store, content, log } = parts;
  const env = childEnvironment();
  const root = packageRoot();
  const agent = new Agent(
    {
      ...{ nodeId, paths },
      tokens: () => tokens.use,
      host: host.advertised,
      role: parts.role,
      hostname: hostname(),
      modelserveVersion: modelserveVersion(),
      declaredCpus: flags.numCpus,
      gpus: { declared: flags.numGpus, visibleDevices: visibleDevices()?.join(',') ?? null, env },
      backends: backendPrograms(nodeId),
      modelAgentProgram: join(root, 'dist', 'agent', 'model-agents', 'module-worker.js'),
      ingress: {
        launch: {
          nodeId,
          host: host.bound,
          httpPort: flags.httpPort ?? parts.port,
          httpPortFixed: flags.httpPort !== null,
          linkPort: 0,
          stateDir: paths.root,
          store: parts.storeTarget,
          secrets: tokens.nodeSecrets,
          tls: parts.security.files,
          clusterId: tokens.clusterId,
          version: modelserveVersion(),
          tracing: readTracing(),
        },
        entry: join(root, 'dist', 'roles', 'ingress-main.js'),
        nodePath: process.execPath,
        env,
      },
    },
    {
      ...{ store, content, log },
      nowMs: () => Date.now(),
      hasElsewhere: async () => await hasElsewhere(store, nodeId),
      onLeaveRequested: parts.onLeaveRequested,
    },
  );
  const reports = agent.makeReports();
  content.answerWith({
    measure: async () => await reports.measure(),
    environments: async () => await reports.environments(),
    models: async () => await nodeModels(parts),
    leave: parts.onLeaveRequested,
  });
  return agent;
}

/** What this node keeps of models. */
export async function nodeModels({
  nodeId,
  flags,
  paths,
  content,
}: Pick<AgentParts, 'nodeId' | 'flags' | 'paths' | 'content'>): Promise<NodeModels> {
  const models = (await listModels(paths, content.cache)).map(({ status }) => status);
  return { node: nodeId, limit_bytes: flags.modelCacheBytes, models };
}

/**
 * Takes the tokens that the cluster uses now, before anything runs that uses them.
 * @throws ServeError TOKEN_REPLACED; StoreError
 */
export async function settleTokens(parts: Pick<AgentParts, 'tokens' | 'store' | 'log'>): Promise<void> {
  await new TokenFollower({ ...parts, onChanged: () => undefined }).settle();
}

/** Follows the leader where it replaces the cluster's token, with all of this node, once its agent has started. */
export async function followTokens(
  { tokens, store, log }: Pick<AgentParts, 'tokens' | 'store' | 'log'>,
  agent: Agent,
  closers: Closers,
): Promise<void> {
  tokens.onChange(async () => await agent.useSecrets(tokens.nodeSecrets));
  const follower = new TokenFollower({ store, tokens, log, onChanged: () => agent.tokensChanged() });
  closers.add(async () => await follower.stop());
  await follower.start();
}

/** Packages and models of this machine, and the server that gives them to other nodes; the caller starts and stops it. */
export function createContent(
  parts: Pick<AgentParts, 'nodeId' | 'host' | 'paths' | 'tokens' | 'security' | 'store' | 'log'> &
    Pick<ContentServiceDependencies, 'origins'>,
  cache: ContentServiceOptions['cache'],
): ContentService {
  const { nodeId, host, paths, tokens, security, store, log, origins } = parts;
  let known: readonly ContentNode[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  const nodes = async (): Promise<readonly ContentNode[]> => {
    if (performance.now() - readAtMs < NODES_FRESH_MS) return known;
    readAtMs = performance.now();
    // While the store is away, those that were there last are asked.
    known = await contentNodes(store, nodeId).catch(() => known);
    return known;
  };
  const needed = async (): Promise<readonly PinnedSpec[]> => await specsInForce(paths);
  return new ContentService(
    { nodeId, paths, host, keys: tokens.secrets.content, tls: security.tls.nodes, cache },
    { nodes, needed, log, origins },
  );
}

/** Other nodes that can be asked for packages and models; a head whose lease has lapsed may be about to come back. */
async function contentNodes(store: Store, nodeId: string): Promise<readonly ContentNode[]> {
  const entries = await store.readNodes();
  return entries
    .filter(({ record, leased }) => record.nodeId !== nodeId && (leased || record.role === 'head'))
    .filter(({ record }) => (record.contentPort ?? 0) > 0)
    .map(({ record }) => ({
      nodeId: record.nodeId,
      address: formatHostPort({ host: record.host, port: record.contentPort ?? 0 }),
      isHead: record.role === 'head',
    }));
}

/** Whether a leader is there to move replicas, and another node to take them. */
async function hasElsewhere(store: Store, nodeId: string): Promise<boolean> {
  const [leader, nodes] = await Promise.all([store.readLeader(), store.readNodes()]);
  return (
    leader !== null &&
    nodes.some(({ record, leased }) => leased && record.nodeId !== nodeId && !record.draining)
  );
}
