import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Agent } from '../agent/agent.ts';
import { childEnvironment, cloudVariables } from '../config/environment.ts';
import { agentSocket, componentLog, statePaths } from '../config/paths.ts';
import { readOrMakeToken } from '../config/token.ts';
import { ApplyDesk, type ApplyJob, type Recorded } from '../controller/apply-desk.ts';
import { ControlPlane } from '../controller/control-plane.ts';
import { Housekeeping } from '../controller/housekeeping.ts';
import { Leader } from '../controller/leader.ts';
import { LeaderState } from '../controller/leader-state.ts';
import { DurableRevisions } from '../controller/revisions.ts';
import { Rotations } from '../controller/rotations.ts';
import { Uploads } from '../controller/uploads.ts';
import type { Log } from '../lib/log.ts';
import { ownRoutesAgent } from '../lib/tls/agents.ts';
import { RemoteModels } from '../models/remote-models.ts';
import { PATIENT_HEAD } from '../models/sources/exchange.ts';
import type { Listings } from '../models/streaming/listings.ts';
import { ServerOrigin } from '../models/streaming/stream-origin.ts';
import { createApplyQueue } from '../store/apply-queue.ts';
import { clusterPrefix } from '../store/keys.ts';
import { connectStore } from '../store/redis-store.ts';
import { startStoreServer } from '../store/server/start-store-server.ts';
import type { Store, StoreServer } from '../store/types.ts';
import { openLog } from '../telemetry/logger.ts';
import { advertisedAddress } from './addresses.ts';
import { Closers } from './closers.ts';
import { startAdmin } from './head-admin.ts';
import type { Control, Ground, HeadFlags, Started } from './head-parts.ts';
import { confToApply, initialPort } from './initial-conf.ts';
import { hasLeftovers } from './leftovers.ts';
import {
  createAgent,
  createContent,
  followTokens,
  type RunningNode,
  type Say,
  type StopHow,
  settleTokens,
} from './node.ts';
import { NodeControl } from './node-control.ts';
import { secureNode } from './node-security.ts';
import { announceHead, followUntilReady } from './start-report.ts';
import { lockStateDir, nodeIdOf } from './state-dir.ts';
import { NodeTokens } from './tokens/node-tokens.ts';
import { tokenMaker } from './tokens/token-desk.ts';

/** What was sent and is not sent again for a week comes anew then. */
const UPLOAD_GRACE_MS = 7 * 24 * 3_600_000;
/** How long a model stays that was fetched ahead of its apply, or that no revision names any more. */
const MODEL_GRACE_MS = 24 * 3_600_000;
/** What is to stay free on the disk when a model is taken in: the store and the revisions are on it, too. */
const SPARE_BYTES = 1024 ** 3;
const QUEUE_TIMEOUT_MS = 15_000;
/** A leader's lease is 4 s. */
const ELECTION_TIMEOUT_MS = 6_000;

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
  const given = await readOrMakeToken(paths.token);
  const tokens = await NodeTokens.open({ ringFile: paths.tokenRing, given, tokenFile: paths.token });
  const host = { bound: flags.host, advertised: advertisedAddress(flags.host) };
  const nodeId = await nodeIdOf(paths);
  const log = openLog(componentLog(paths, 'agent'), 'agent');
  const names = { ...flags.tls, names: [...flags.tls.names, advertisedAddress(flags.dashboard.host)] };
  const security = await secureNode(names, { paths, tokens, nodeId, host, log }, closers);
  const routes = ownRoutesAgent(security.tls);
  closers.add(async () => await routes.destroy());
  return {
    ...{ paths, tokens, host, nodeId, security, routes, log, announce: lock.announce },
    controllerLog: openLog(componentLog(paths, 'controller'), 'controller'),
    adminLog: openLog(componentLog(paths, 'admin'), 'admin'),
  };
}

interface OpenStore {
  readonly server: StoreServer;
  readonly store: Store;
  readonly target: ReturnType<typeof storeTarget>;
}

async function openStore(
  flags: HeadFlags,
  { ground, state }: { readonly ground: Ground; readonly state: LeaderState },
  closers: Closers,
): Promise<OpenStore> {
  const { paths, tokens, controllerLog: log } = ground;
  const server = await startStoreServer({
    externalUrl: flags.redisUrl,
    host: flags.host,
    port: flags.port,
    passwords: () => tokens.storePasswords,
    tls: ground.security.tls.nodes,
    paths,
    searchPath: childEnvironment()['PATH'] ?? '',
    onEvent: (event) => log.warn({ ...event }, 'store server'),
  });
  closers.add(async ({ keepReplicas }) => await server.stop({ keep: keepReplicas }));
  tokens.onChange(async () => await server.usePasswords(tokens.storePasswords));
  const target = storeTarget(flags, server, tokens);
  // A head that comes back while its store is away serves on; at the very first start it says what is wrong.
  const store = await connectStore({ ...target, mayBeLost: state.revision !== null });
  closers.add(async () => await store.close());
  if (store.link === 'connected') await settleTokens({ store, tokens, log });
  return { server, store, target };
}

async function startControl(
  flags: HeadFlags,
  { ground, state }: { readonly ground: Ground; readonly state: LeaderState },
  closers: Closers,
): Promise<Control> {
  const { paths, tokens, controllerLog: log, nodeId } = ground;
  const { server, store, target } = await openStore(flags, { ground, state }, closers);
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
  const rotations = new Rotations({
    store,
    log,
    tokens: tokenMaker(tokens),
    onEnded: () => server.compact(),
  });
  const leader = new Leader(
    { candidateId: nodeId, clock: () => Date.now(), newReplicaId },
    { store, state, log, rotations },
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
  keepHouse({ paths, state, leader, uploads, content, log }, closers);
  const plane = new ControlPlane(
    { cluster: tokens.clusterId, storeKind: server.kind },
    { desk, leader, rotations, state, store },
  );
  return { server, store, content, uploads, queue, state, leader, rotations, desk, plane };
}

function keepHouse(
  {
    paths,
    state,
    leader,
    uploads,
    content,
    log,
  }: Pick<Control, 'state' | 'leader' | 'uploads' | 'content'> & Pick<Ground, 'paths' | 'log'>,
  closers: Closers,
): void {
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
  { clusterId, secrets }: NodeTokens,
): { url: string; prefix: string; password?: () => string } {
  const prefix = clusterPrefix(clusterId);
  return flags.redisUrl === null
    ? { url: server.url, prefix, password: () => secrets.store.current }
    : { url: flags.redisUrl, prefix };
}

/** The agent joins before the controller begins, so that what already runs here is known before anything is placed. */
async function startAgent(
  flags: HeadFlags,
  { ground, control, stop }: Started,
  closers: Closers,
): Promise<Agent> {
  const { store, content, state, leader, desk, server } = control;
  const { url } = storeTarget(flags, server, ground.tokens);
  const agent = createAgent({
    role: 'head',
    flags,
    ...ground,
    ...{ store, content },
    storeTarget: { url, isOwn: flags.redisUrl === null, tls: false },
    port: await initialPort(flags.conf, state.revision),
    onLeaveRequested: () => void stop({ keepReplicas: false }),
  });
  // Last in, first out: while the agent hands its replicas over, the controller is still there to place them elsewhere.
  closers.add(async () => await leader.stop());
  closers.add(async () => await desk.stop());
  closers.add(async (how) => await agent.stop(how));
  await agent.start();
  await followTokens({ ...ground, store }, agent, closers);
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
