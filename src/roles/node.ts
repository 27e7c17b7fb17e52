import { hostname } from 'node:os';
import { join } from 'node:path';
import { Agent } from '../agent/agent.ts';
import type { NodeRole } from '../cluster/nodes/types.ts';
import { childEnvironment, visibleDevices } from '../config/environment.ts';
import type { StatePaths } from '../config/paths.ts';
import type { ClusterKeys } from '../config/token.ts';
import { modelserveVersion } from '../config/version.ts';
import type { Log } from '../lib/log.ts';
import { packageRoot } from '../lib/package-root.ts';
import type { Store } from '../store/types.ts';
import { backendPrograms } from './backend-programs.ts';

/** What a person says about a node on the command line. */
export interface NodeFlags {
  readonly stateDir: string;
  /** --http-port; null: conf.ini's */
  readonly httpPort: number | null;
  readonly numCpus: number | null;
  readonly numGpus: number | null;
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
  readonly keys: ClusterKeys;
  readonly storeTarget: { readonly url: string; readonly password: string | null };
  readonly store: Store;
  readonly log: Log;
  /** the ingress port until a routing table names another */
  readonly port: number;
  readonly onLeaveRequested: () => void;
}

/** The agent of this machine with everything it needs of it. */
export function createAgent(parts: AgentParts): Agent {
  const { flags, nodeId, host, paths, keys, store, log } = parts;
  const env = childEnvironment();
  const root = packageRoot();
  return new Agent(
    {
      ...{ nodeId, paths },
      host: host.advertised,
      role: parts.role,
      hostname: hostname(),
      modelserveVersion: modelserveVersion(),
      declaredCpus: flags.numCpus,
      gpus: { declared: flags.numGpus, visibleDevices: visibleDevices()?.join(',') ?? null, env },
      backends: backendPrograms(),
      ingress: {
        launch: {
          nodeId,
          host: host.bound,
          httpPort: flags.httpPort ?? parts.port,
          httpPortFixed: flags.httpPort !== null,
          linkPort: 0,
          stateDir: paths.root,
          store: parts.storeTarget,
          linkKey: keys.linkKey,
          clusterId: keys.clusterId,
          version: modelserveVersion(),
        },
        entry: join(root, 'dist', 'roles', 'ingress-main.js'),
        nodePath: process.execPath,
        env,
      },
    },
    {
      ...{ store, log },
      nowMs: () => Date.now(),
      hasElsewhere: async () => await hasElsewhere(store, nodeId),
      onLeaveRequested: parts.onLeaveRequested,
    },
  );
}

/** Whether a leader is there to move replicas, and another node to take them. */
async function hasElsewhere(store: Store, nodeId: string): Promise<boolean> {
  const [leader, nodes] = await Promise.all([store.readLeader(), store.readNodes()]);
  return (
    leader !== null &&
    nodes.some(({ record, leased }) => leased && record.nodeId !== nodeId && !record.draining)
  );
}
