import { join, resolve } from 'node:path';
import { LiveHub } from '../admin/live/hub.ts';
import { AdminServer } from '../admin/server.ts';
import { modelserveVersion } from '../config/version.ts';
import { RevisionDesk } from '../controller/revision-desk.ts';
import { DurableRevisions } from '../controller/revisions.ts';
import { codeOf, ServeError } from '../lib/errors.ts';
import { programOnPort } from '../lib/ports.ts';
import { advertisedAddress, formatHostPort, type HostPort } from './addresses.ts';
import { adminBackend, revisionDesk } from './admin-backend.ts';
import type { Closers } from './closers.ts';
import { ClusterLogs } from './cluster-logs.ts';
import type { HeadFlags, Started } from './head-parts.ts';
import { Measurer } from './measurer.ts';
import { nodeModels } from './node.ts';
import { NodeCalls } from './node-calls.ts';
import { tokenDesk } from './tokens/token-desk.ts';

/** How long `stop --all` waits for other nodes to drain and leave. */
const DISMISS_MS = 150_000;

/** Starts the admin API and the dashboard. @throws ServeError BAD_USAGE for a port that is taken */
export async function startAdmin(
  flags: HeadFlags,
  { ground, control, stop }: Started,
  closers: Closers,
): Promise<void> {
  const { tokens, adminLog: log, nodeId, paths, security } = ground;
  const logs = new ClusterLogs(
    { nodeId, linkKeys: tokens.secrets.link, tls: security.tls.nodes, paths },
    {
      replicasOf: (deployment) => control.plane.replicasOf(deployment),
      isDeployed: (name) => control.state.rollouts.some(({ deployment }) => deployment === name),
      nodes: () => [...control.leader.view.nodes.values()].map(({ record }) => record),
    },
  );
  const calls = new NodeCalls(
    { contentKeys: tokens.secrets.content, tls: security.tls.nodes },
    control.leader,
  );
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
  const admin = new AdminServer(
    {
      ...{ ...flags.dashboard, keys: tokens.secrets },
      ...{ tls: security.tls.clients, version: modelserveVersion() },
    },
    {
      ...{ backend, logs, log, uploads, measurements, live, routes: ground.routes },
      tokens: tokenDesk({ paths, tokens, storeKind: control.server.kind }, control),
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
