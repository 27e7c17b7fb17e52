import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchFile } from '../../channel/launch.ts';
import type { GpuSlice } from '../../cluster/placement/types.ts';
import type { ReplicaAssignment } from '../../cluster/replicas/types.ts';
import { replicaSocket, type StatePaths } from '../../config/paths.ts';
import { sha256 } from '../../lib/hash.ts';
import { spawnDetached } from '../../lib/process/detached.ts';
import { launchFor, launchOf } from '../environments/launch-content.ts';
import type { ReadyBackend } from '../environments/preparations.ts';
import { giveFile, openSocketFor, removeSocket } from '../run-as/places.ts';
import { asUser } from '../run-as/user.ts';
import type { LiveProcess } from './life.ts';

export type ReplicaPaths = Pick<StatePaths, 'sockets' | 'stage' | 'replicaLogs' | 'processes'>;

/** Where one replica has what. */
export interface ReplicaFiles {
  readonly socket: string;
  readonly launchFile: string;
  readonly log: string;
}

export function replicaFiles(paths: ReplicaPaths, replicaId: string, deployment: string): ReplicaFiles {
  return {
    socket: replicaSocket(paths.sockets, replicaId),
    launchFile: join(paths.stage, `launch-${sha256(replicaId).slice(0, 16)}.json`),
    log: join(paths.replicaLogs, deployment, `${replicaId}.log`),
  };
}

/**
 * Starts the process of a replica, in a session of its own, with exactly its GPUs.
 * @throws ServeError SPAWN_FAILED
 */
export async function launchReplica(
  assignment: ReplicaAssignment,
  prepared: ReadyBackend,
  paths: ReplicaPaths,
): Promise<LiveProcess> {
  const { slices, spec } = assignment;
  const { launchFile, log } = replicaFiles(paths, assignment.replicaId, spec.name);
  mkdirSync(paths.sockets, { recursive: true, mode: 0o700 });
  mkdirSync(paths.stage, { recursive: true });
  rmSync(launchFile, { force: true });
  const content = launchContent(assignment, prepared, paths);
  writeFileSync(launchFile, JSON.stringify(content), { mode: 0o600 });
  giveFile(prepared.user, launchFile);
  const { identity, exited } = await spawnDetached({
    ...asUser(prepared.user, { command: prepared.command, args: [...prepared.args, launchFile] }),
    cwd: prepared.spec.projectDir,
    env: { ...prepared.env, ...gpuEnvironment(slices) },
    // Another user's process cannot open its log apart: all of it is kept, or nothing.
    logFile: prepared.user !== null && spec.logOutput === false ? '/dev/null' : log,
  });
  return { identity, exited, check: () => undefined, release: () => undefined };
}

function launchContent(
  { replicaId, revision, spec }: ReplicaAssignment,
  { user, codeDir, userConfig, spec: { modelRoot } }: ReadyBackend,
  paths: ReplicaPaths,
): LaunchFile {
  const { socket, log } = replicaFiles(paths, replicaId, spec.name);
  const content = launchOf({ ...spec, modelRoot, userConfig }, codeDir, paths.stage, {
    ...{ replica: replicaId, revision, log },
    socket: user === null ? socket : openSocketFor(user, paths.sockets, socket),
  });
  return launchFor(user, content);
}

/**
 * What makes a process see its GPUs and no other: UUIDs, which stay right when a card is lost; a declared GPU has none
 * that the driver knows, so its index stands for it.
 */
function gpuEnvironment(slices: readonly GpuSlice[]): Readonly<Record<string, string>> {
  const devices = slices.map(({ uuid, index }) => (uuid.startsWith('GPU-') ? uuid : String(index)));
  return { CUDA_DEVICE_ORDER: 'PCI_BUS_ID', CUDA_VISIBLE_DEVICES: devices.join(',') };
}

/** Removes what a replica that has left for good had beside its log. */
export function removeReplicaFiles({ socket, launchFile }: ReplicaFiles): void {
  removeSocket(socket);
  rmSync(launchFile, { force: true });
}
