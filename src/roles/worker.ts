import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from '../agent/agent.ts';
import { httpAddress } from '../cluster/nodes/http-address.ts';
import { agentSocket, componentLog, statePaths } from '../config/paths.ts';
import { modelserveVersion } from '../config/version.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import type { LiveTls } from '../lib/tls/live-tls.ts';
import { clusterPrefix } from '../store/keys.ts';
import { requirePlainStore } from '../store/plain-store.ts';
import { addressOf } from '../store/redis-client.ts';
import { connectStore, type StoreOptions } from '../store/redis-store.ts';
import type { Store } from '../store/types.ts';
import { openLog } from '../telemetry/logger.ts';
import { advertisedAddress, formatHostPort, type HostPort, localAddressTowards } from './addresses.ts';
import { Closers } from './closers.ts';
import { hasLeftovers } from './leftovers.ts';
import {
  createAgent,
  createContent,
  followTokens,
  type NodeFlags,
  type RunningNode,
  type Say,
  type StopHow,
  settleTokens,
} from './node.ts';
import { NodeControl } from './node-control.ts';
import { secureNode, tellOfEnd } from './node-security.ts';
import { lockStateDir, nodeIdOf } from './state-dir.ts';
import { NodeTokens } from './tokens/node-tokens.ts';

/** Left free on the disk beside what is fetched. */
const SPARE_BYTES = 64 * 1024 ** 2;

export interface WorkerFlags extends NodeFlags {
  /** --address, or --redis for a store of the user's own */
  readonly cluster: { readonly address: HostPort } | { readonly redisUrl: string };
  /** --host; null: the local address of the route to the head */
  readonly host: string | null;
  readonly token: string;
}

const REACH_TIMEOUT_MS = 5_000;
const JOIN_TIMEOUT_MS = 15_000;
const LOOK_MS = 50;
const DEFAULT_PORT = 8000;
const OLD_TOKEN =
  "the token that this node was given was replaced since: it goes on with the one that followed. Give it a copy of the head's `token` when you can.";

/**
 * Joins a cluster with this machine. Resolves when the cluster knows it.
 * @throws ServeError CLUSTER_UNREACHABLE, STORE_AUTH, a taken port, a locked state directory; nothing is left
 * behind then but what an earlier node process had left running
 */
export async function startWorker(flags: WorkerFlags, say: Say): Promise<RunningNode> {
  const closers = new Closers(say);
  const found = { leftovers: false };
  try {
    const stop = async (how: StopHow): Promise<void> => await closers.run(how);
    const agent = await joinCluster(flags, { stop, closers, found, say });
    const { capacity, nodeId } = agent.record;
    const gpus = capacity.gpus.length === 1 ? '1 GPU' : `${capacity.gpus.length} GPUs`;
    say(
      `modelserve ${modelserveVersion()}: worker, node ${nodeId}, ${capacity.cpuMilli / 1000} CPUs, ${gpus}`,
    );
    say(`joined the cluster; requests are answered at ${httpAddress(agent.record)}`);
    return { stop, ended: closers.ended };
  } catch (error) {
    await closers.run({ keepReplicas: found.leftovers });
    throw error;
  }
}

async function joinCluster(
  flags: WorkerFlags,
  {
    stop,
    closers,
    found,
    say,
  }: {
    readonly stop: RunningNode['stop'];
    readonly closers: Closers;
    readonly found: { leftovers: boolean };
    readonly say: Say;
  },
): Promise<Agent> {
  const paths = statePaths(flags.stateDir);
  const lock = await lockStateDir(paths, 'worker');
  closers.add(lock.release);
  found.leftovers = hasLeftovers(paths);
  const log = openLog(componentLog(paths, 'agent'), 'agent');
  const tokens = await NodeTokens.open({ ringFile: paths.tokenRing, given: flags.token, tokenFile: null });
  if (tokens.isGivenOld) say(OLD_TOKEN);
  const bound = flags.host ?? (await localAddressTowards(storeAddress(flags), REACH_TIMEOUT_MS));
  const host = { bound, advertised: advertisedAddress(bound) };
  const nodeId = await nodeIdOf(paths);
  const security = await secureNode(flags.tls, { paths, tokens, nodeId, host, log }, closers);
  tellOfEnd(security, say);
  const target = storeTarget(flags, tokens, security.tls.nodes);
  if ('address' in flags.cluster && target.tls === null) await requirePlainStore(target.url);
  const store = await connectWithEither({ ...target, prefix: clusterPrefix(tokens.clusterId) }, tokens);
  closers.add(async () => await store.close());
  await requireSameTls(store, security.tls.nodes !== null);
  await settleTokens({ store, tokens, log });
  const ground = { paths, tokens, log, store, nodeId, host, security };
  const content = createContent(ground, { limitBytes: flags.modelCacheBytes, spareBytes: SPARE_BYTES });
  await content.start();
  closers.add(async ({ keepReplicas }) => await content.stop({ keepMemory: keepReplicas }));
  const agent = createAgent({
    role: 'worker',
    ...{ ...ground, flags, content },
    storeTarget: { url: target.url, isOwn: 'address' in flags.cluster, tls: target.tls !== null },
    port: (await store.readRevision())?.revision.settings.port ?? DEFAULT_PORT,
    onLeaveRequested: () => void stop({ keepReplicas: false }),
  });
  closers.add(async (how) => await agent.stop(how));
  await agent.start();
  await followTokens(ground, agent, closers);
  content.pruneRegularly(() => agent.assignedSpecs);
  const control = new NodeControl(agentSocket(paths.sockets), { stop: (how) => void stop(how) });
  await control.start();
  closers.add(async () => await control.stop());
  await untilKnown(store, agent.record.nodeId);
  return agent;
}

function storeTarget(
  { cluster }: WorkerFlags,
  { secrets }: NodeTokens,
  tls: LiveTls | null,
): { readonly url: string; readonly password?: () => string; readonly tls: LiveTls | null } {
  if ('redisUrl' in cluster) return { url: cluster.redisUrl, tls: null };
  const scheme = tls === null ? 'redis' : 'rediss';
  return {
    url: `${scheme}://${formatHostPort(cluster.address)}`,
    password: () => secrets.store.current,
    tls,
  };
}

/** Where this node was away while the cluster went on, the other of its two tokens may be the one that counts. */
async function connectWithEither(options: StoreOptions, tokens: NodeTokens): Promise<Store> {
  const { shown, other } = tokens.ring;
  try {
    return await connectStore(options);
  } catch (error) {
    if (codeOf(error) !== 'STORE_AUTH' || other === null) throw error;
    await tokens.change({ shown: other, other: shown });
    return await connectStore(options);
  }
}

/**
 * Where the store is a user's own it says nothing of what nodes say to each other.
 * @throws ServeError BAD_USAGE where the cluster's heads have it otherwise
 */
async function requireSameTls(store: Store, isEncrypted: boolean): Promise<void> {
  const nodes = await store.readNodes();
  const other = nodes.find(
    ({ record, leased }) => leased && record.role === 'head' && (record.tls?.nodes ?? false) !== isEncrypted,
  );
  if (other === undefined) return;
  const { nodeId } = other.record;
  throw new ServeError(
    isEncrypted
      ? `the head (node ${nodeId}) does not encrypt what nodes say to each other: start this one with --tls off`
      : `the head (node ${nodeId}) encrypts what nodes say to each other: start this one with --tls nodes`,
    { code: 'BAD_USAGE' },
  );
}

/** Where the route to the head is looked up: the store's own address, or the first sentinel's. */
function storeAddress({ cluster }: WorkerFlags): HostPort {
  if ('address' in cluster) return cluster.address;
  const match = /^[a-z-]+:\/\/(?:[^@/]*@)?(?:\[([^\]]+)\]|([^,:/?]+))(?::(\d+))?/.exec(cluster.redisUrl);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined) {
    throw new ServeError(`--redis expects redis://HOST:PORT, got "${addressOf(cluster.redisUrl)}"`, {
      code: 'BAD_USAGE',
    });
  }
  const isSentinel = cluster.redisUrl.startsWith('redis-sentinel:');
  return { host, port: Number(match?.[3] ?? (isSentinel ? 26_379 : 6379)) };
}

async function untilKnown(store: Store, nodeId: string): Promise<void> {
  const end = performance.now() + JOIN_TIMEOUT_MS;
  for (;;) {
    const nodes = await store.readNodes();
    if (nodes.some(({ record, leased }) => leased && record.nodeId === nodeId)) return;
    if (performance.now() > end) {
      throw new ServeError(
        `the cluster's store did not take this node's record within ${JOIN_TIMEOUT_MS / 1000} s`,
        {
          code: 'CLUSTER_UNREACHABLE',
        },
      );
    }
    await delay(LOOK_MS);
  }
}
