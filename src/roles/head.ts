import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { Dispatcher } from 'undici';
import { LiveHub } from '../admin/live/hub.ts';
import { AdminServer } from '../admin/server.ts';
import type { Agent } from '../agent/agent.ts';
import type { ContentService } from '../agent/content/content-service.ts';
import { childEnvironment, cloudVariables } from '../config/environment.ts';
import { agentSocket, componentLog, type StatePaths, statePaths } from '../config/paths.ts';
import { type ClusterKeys, clusterKeys, readOrMakeToken } from '../config/token.ts';
import { modelserveVersion } from '../config/version.ts';
import { ApplyDesk, type ApplyJob, type Recorded } from '../controller/apply-desk.ts';
import { ControlPlane } from '../controller/control-plane.ts';
import { Housekeeping } from '../controller/housekeeping.ts';
import { Leader } from '../controller/leader.ts';
import { LeaderState } from '../controller/leader-state.ts';
import { RevisionDesk } from '../controller/revision-desk.ts';
import { DurableRevisions } from '../controller/revisions.ts';
import { Uploads } from '../controller/uploads.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { programOnPort } from '../lib/ports.ts';
import { ownRoutesAgent } from '../lib/tls/agents.ts';
import { RemoteModels } from '../models/remote-models.ts';
import { PATIENT_HEAD } from '../models/sources/exchange.ts';
import type { Listings } from '../models/streaming/listings.ts';
import { ServerOrigin } from '../models/streaming/stream-origin.ts';
import { createApplyQueue } from '../store/apply-queue.ts';
import { clusterPrefix } from '../store/keys.ts';
import { connectStore } from '../store/redis-store.ts';
import { startStoreServer } from '../store/server/start-store-server.ts';
import type { ApplyQueue, Store, StoreServer } from '../store/types.ts';
import { openLog } from '../telemetry/logger.ts';
import { advertisedAddress, formatHostPort, type HostPort } from './addresses.ts';
import { adminBackend, revisionDesk } from './admin-backend.ts';
import { Closers } from './closers.ts';
import { ClusterLogs } from './cluster-logs.ts';
import { type ConfChoice, confToApply, initialPort } from './initial-conf.ts';
import { hasLeftovers } from './leftovers.ts';
import { Measurer } from './measurer.ts';
import {
  createAgent,
  createContent,
  type NodeFlags,
  nodeModels,
  type RunningNode,
  type Say,
  type StopHow,
} from './node.ts';
import { NodeCalls } from './node-calls.ts';
import { NodeControl } from './node-control.ts';
import { type NodeSecurity, secureNode } from './node-security.ts';
import { announceHead, followUntilReady } from './start-report.ts';
import { lockStateDir, nodeIdOf } from './state-dir.ts';

export interface HeadFlags extends NodeFlags {
  readonly conf: ConfChoice;
  /** of the store and the node's HTTP and links */
  readonly host: string;
  /** of the store */
  readonly port: number;
  readonly dashboard: HostPort & { readonly isReadOnly: boolean };
  /** --redis; null: a store of its own */
  readonly redisUrl: string | null;
}

/** What was sent and is not sent again for a week comes anew then. */
const UPLOAD_GRACE_MS = 7 * 24 * 3_600_000;
/** How long a model stays that was fetched ahead of its apply, or that no revision names any more. */
const MODEL_GRACE_MS = 24 * 3_600_000;
/** What is to stay free on the disk when a model is taken in: the store and the revisions are on it, too. */
const SPARE_BYTES = 1024 ** 3;
/** How long `stop --all` waits for other nodes to drain and leave. */
const DISMISS_MS = 150_000;
const QUEUE_TIMEOUT_MS = 15_000;
/** A leader's lease is 4 s. */
const ELECTION_TIMEOUT_MS = 6_000;

interface Ground {
  readonly paths: StatePaths;
  readonly keys: ClusterKeys;
  readonly nodeId: string;
  /** of the agent, and of what this machine keeps */
  readonly log: Log;
  readonly controllerLog: Log;
  readonly adminLog: Log;
  readonly host: { readonly bound: string; readonly advertised: string };
  readonly security: NodeSecurity;
  /** connections to the nodes' HTTP ports */
  readonly routes: Dispatcher;
  readonly announce: (admin: string) => Promise<void>;
}

interface Control {
  readonly server: StoreServer;
  readonly store: Store;
  readonly content: ContentService;
  readonly uploads: Uploads;
  readonly queue: ApplyQueue<ApplyJob, Recorded>;
  readonly state: LeaderState;
  readonly leader: Leader;
  readonly desk: ApplyDesk;
  readonly plane: ControlPlane;
}

/**
 * Starts a head: store, controller, admin API, and the node that serves. Resolves when all of them run; what becomes of
 * conf.ini is said from then on.
 * @throws ServeError for wrong usage, a taken port, a locked state directory; nothing is left behind then but what an
 * earlier node process had left running
 */
export async function startHead(flags: HeadFlags, say: Say): Promise<RunningNode> {
  const closers = new Closers(say);
  const found = { leftovers: false };
  try {
    const ground = await layGround(flags, closers);
    found.leftovers = hasLeftovers(ground.paths);
    const state = new LeaderState(new DurableRevisions(ground.paths.revisions));
    await state.load();
    const conf = await confToApply(flags.conf, state);
    const control = await startControl(flags, { ground, state }, closers);
    const stop = async (how: StopHow): Promise<void> => await closers.run(how);
    await startAdmin(flags, { ground, control, stop }, closers);
    const agent = await startAgent(flags, { ground, control, stop }, closers);
    await startNodeControl(ground, stop, closers);
    announceHead(
      {
        flags,
        server: control.server,
        tokenFile: ground.paths.token,
        security: ground.security,
        nodeId: ground.nodeId,
        capacity: agent.capacity,
      },
      say,
    );
    const tell: Say = (line) => (closers.hasRun ? undefined : say(line));
    const { routes, security } = ground;
    void followUntilReady(
      { ...control, conf, agent, routes, security, isEnding: () => closers.hasRun },
      tell,
    );
    return { stop, ended: closers.ended };
  } catch (error) {
    await closers.run({ keepReplicas: found.leftovers });
    throw error;
  }
}

async function layGround(flags: HeadFlags, closers: Closers): Promise<Ground> {
  const paths = statePaths(flags.stateDir);
  const lock = await lockStateDir(paths, 'head');
  closers.add(lock.release);
  const keys = clusterKeys(await readOrMakeToken(paths.token));
  const host = { bound: flags.host, advertised: advertisedAddress(flags.host) };
  const nodeId = await nodeIdOf(paths);
  const log = openLog(componentLog(paths, 'agent'), 'agent');
  const names = { ...flags.tls, names: [...flags.tls.names, advertisedAddress(flags.dashboard.host)] };
  const security = await secureNode(names, { paths, keys, nodeId, host, log }, closers);
  const routes = ownRoutesAgent(security.tls);
  closers.add(async () => await routes.destroy());
  return {
    ...{ paths, keys, host, nodeId, security, routes, log, announce: lock.announce },
    controllerLog: openLog(componentLog(paths, 'controller'), 'controller'),
    adminLog: openLog(componentLog(paths, 'admin'), 'admin'),
  };
}

async function startControl(
  flags: HeadFlags,
  { ground, state }: { readonly ground: Ground; readonly state: LeaderState },
  closers: Closers,
): Promise<Control> {
  const { paths, keys, controllerLog: log, nodeId } = ground;
  const server = await startStoreServer({
    externalUrl: flags.redisUrl,
    host: flags.host,
    port: flags.port,
    password: keys.storePassword,
    tls: ground.security.tls.nodes,
    paths,
    searchPath: childEnvironment()['PATH'] ?? '',
    onEvent: (event) => log.warn({ ...event }, 'store server'),
  });
  closers.add(async ({ keepReplicas }) => await server.stop({ keep: keepReplicas }));
  const target = storeTarget(flags, server, keys);
  // A head that comes back while its store is away serves on; at the very first start it says what is wrong.
  const store = await connectStore({ ...target, mayBeLost: state.revision !== null });
  closers.add(async () => await store.close());
  const content = createContent(
    { ...ground, store, origins: (listings) => [serverOrigin(listings, closers, log)] },
    { limitBytes: flags.modelCacheBytes, spareBytes: SPARE_BYTES },
  );
  await content.start();
  closers.add(async ({ keepReplicas }) => await content.stop({ keepMemory: keepReplicas }));
  const queue = createApplyQueue<ApplyJob, Recorded>({
    ...target,
    onError: (error) => log.warn({ error: error.message }, 'apply queue'),
  });
  closers.add(async () => await queue.close());
  const leader = new Leader(
    { candidateId: nodeId, clock: () => Date.now(), newReplicaId },
    { store, state, log },
  );
  const uploads = new Uploads(paths.uploads, content.store);
  const remote = remoteModels(ground, content, closers);
  const desk = new ApplyDesk(
    {
      snapshotsDir: paths.snapshots,
      digestsDir: paths.digests,
      contents: content.store,
      room: content.cache,
      uploadedDir: join(paths.uploads, 'project'),
      remote,
      queueTimeoutMs: QUEUE_TIMEOUT_MS,
      electionTimeoutMs: ELECTION_TIMEOUT_MS,
    },
    { queue, leader, state, uploads, log },
  );
  const housekeeping = new Housekeeping({
    ...{ state, log },
    revisions: new DurableRevisions(paths.revisions),
    assigned: () => (leader.leadership === null ? null : leader.view.assignedSpecs),
    pruneContents: async (keep, graceMs) => {
      await uploads.prune(UPLOAD_GRACE_MS);
      return await content.prune(keep, { graceMs, modelGraceMs: MODEL_GRACE_MS });
    },
  });
  housekeeping.start();
  closers.add(async () => await housekeeping.stop());
  const plane = new ControlPlane(
    { cluster: keys.clusterId, storeKind: server.kind },
    { desk, leader, state, store },
  );
  return { server, store, content, uploads, queue, state, leader, desk, plane };
}

function remoteModels({ paths, log }: Ground, content: Control['content'], closers: Closers): RemoteModels {
  const remote = new RemoteModels(
    {
      variables: cloudVariables(),
      exchange: PATIENT_HEAD,
      ...{ partialDir: paths.partial, digestsDir: paths.digests },
    },
    { store: content.store, room: content.cache, streaming: content, log },
  );
  closers.add(async () => await remote.stop());
  return remote;
}

/** Only a head asks the servers that URIs name. */
function serverOrigin(listings: Listings, closers: Closers, log: Log): ServerOrigin {
  const origin = new ServerOrigin(cloudVariables(), listings, { exchange: PATIENT_HEAD, log });
  closers.add(async () => await origin.close());
  return origin;
}

function storeTarget(
  flags: HeadFlags,
  server: StoreServer,
  keys: ClusterKeys,
): { url: string; prefix: string; password?: string } {
  const prefix = clusterPrefix(keys.clusterId);
  return flags.redisUrl === null
    ? { url: server.url, prefix, password: keys.storePassword }
    : { url: flags.redisUrl, prefix };
}

interface Started {
  readonly ground: Ground;
  readonly control: Control;
  readonly stop: RunningNode['stop'];
}

async function startAdmin(
  flags: HeadFlags,
  { ground, control, stop }: Started,
  closers: Closers,
): Promise<void> {
  const { keys, adminLog: log, nodeId, paths, security } = ground;
  const logs = new ClusterLogs(
    { nodeId, linkKey: keys.linkKey, tls: security.tls.nodes, paths },
    {
      replicasOf: (deployment) => control.plane.replicasOf(deployment),
      nodes: () => [...control.leader.view.nodes.values()].map(({ record }) => record),
    },
  );
  const calls = new NodeCalls({ contentKey: keys.contentKey, tls: security.tls.nodes }, control.leader);
  closers.add(async () => await calls.stop());
  const backend = adminBackend(control.plane, {
    ...{ dismissMs: DISMISS_MS, nodeId, calls },
    models: async () => await nodeModels({ nodeId, flags, paths, content: control.content }),
    stopThis: () => void stop({ keepReplicas: false }),
  });
  const { plane, uploads, leader, state } = control;
  const measurements = new Measurer({ file: paths.series }, { calls, plane, leader, state, log });
  await measurements.start();
  closers.add(async () => await measurements.stop());
  const live = new LiveHub({ ...backend, onTick: (listener) => measurements.onTick(listener) });
  closers.add(async () => await live.stop());
  const { apiKey, viewerKey, metricsKey } = keys;
  const admin = new AdminServer(
    {
      ...{ ...flags.dashboard, apiKey, viewerKey, metricsKey },
      ...{ tls: security.tls.clients, version: modelserveVersion() },
    },
    {
      ...{ backend, logs, log, uploads, measurements, live, routes: ground.routes },
      revisions: revisionDesk(revisionsOf(flags, { ground, control, stop }), plane),
    },
  );
  try {
    await admin.start();
  } catch (error) {
    throw adminPortError(error, flags.dashboard);
  }
  closers.add(async () => await admin.stop());
  const address = formatHostPort({ host: advertisedAddress(flags.dashboard.host), port: admin.port });
  await ground.announce(security.tls.clients === null ? address : `https://${address}`);
}

function revisionsOf(flags: HeadFlags, { ground, control }: Started): RevisionDesk {
  const { desk, state, content } = control;
  return new RevisionDesk(
    { confPath: resolve(flags.conf.path), uploadedDir: join(ground.paths.uploads, 'project') },
    {
      revisions: new DurableRevisions(ground.paths.revisions),
      desk,
      state,
      contents: content.store,
      listings: content.listings,
    },
  );
}

function adminPortError(error: unknown, { host, port }: HostPort): unknown {
  if (codeOf(error) !== 'EADDRINUSE') return error;
  const holder = programOnPort(port);
  const who = holder === null ? 'another program' : `${holder.name} (pid ${holder.pid})`;
  return new ServeError(
    `port ${port} on ${host} is taken by ${who}. Give the admin API another with --dashboard-port.`,
    {
      code: 'BAD_USAGE',
    },
  );
}

/** The agent joins before the controller begins, so that what already runs here is known before anything is placed. */
async function startAgent(
  flags: HeadFlags,
  { ground, control, stop }: Started,
  closers: Closers,
): Promise<Agent> {
  const { store, content, state, leader, desk, server } = control;
  const { url, password } = storeTarget(flags, server, ground.keys);
  const agent = createAgent({
    role: 'head',
    flags,
    ...ground,
    ...{ store, content },
    storeTarget: { url, password: password ?? null, tls: false },
    port: await initialPort(flags.conf, state.revision),
    onLeaveRequested: () => void stop({ keepReplicas: false }),
  });
  // Last in, first out: while the agent hands its replicas over, the controller is still there to place them elsewhere.
  closers.add(async () => await leader.stop());
  closers.add(async () => await desk.stop());
  closers.add(async (how) => await agent.stop(how));
  await agent.start();
  await leader.start();
  desk.start();
  return agent;
}

async function startNodeControl(ground: Ground, stop: RunningNode['stop'], closers: Closers): Promise<void> {
  const control = new NodeControl(agentSocket(ground.paths.sockets), { stop: (how) => void stop(how) });
  await control.start();
  closers.add(async () => await control.stop());
}

function newReplicaId(deployment: string): string {
  return `${deployment}-${randomBytes(4).toString('hex').slice(0, 5)}`;
}
