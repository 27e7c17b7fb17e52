import { join } from 'node:path';
import { PROTOCOL_VERSION } from '../../channel/frames.ts';
import type { LaunchFile } from '../../channel/launch.ts';
import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { localModelName } from '../../config/model-uri.ts';
import { completeSpec } from '../../config/pin.ts';
import type { User } from '../run-as/user.ts';

/** A log is rotated when it is larger. */
export const LOG_MAX_BYTES = 20 * 1024 * 1024;
/** The current one included. */
export const LOG_FILES = 5;
const ORPHAN_TIMEOUT_S = 600;

/** What a launch file says of one replica beyond its spec. */
export interface LaunchIdentity {
  readonly replica: string;
  readonly revision: number;
  readonly socket: string;
  readonly log: string;
}

/** For the import check, which serves nobody. */
const NOBODY: LaunchIdentity = { replica: 'import-check', revision: 0, socket: '', log: '' };

/**
 * Content of a runner's launch file.
 * @param stageDir compiled Python is kept below it, since snapshots are read-only
 */
export function launchOf(
  recorded: PinnedSpec,
  codeDir: string,
  stageDir: string,
  identity: LaunchIdentity = NOBODY,
): LaunchFile {
  const spec = completeSpec(recorded); // it may be from before an upgrade
  return {
    protocol: PROTOCOL_VERSION,
    replica: identity.replica,
    deployment: spec.name,
    revision: identity.revision,
    socket: identity.socket,
    log: identity.log,
    log_max_bytes: LOG_MAX_BYTES,
    log_files: LOG_FILES,
    log_output: spec.logOutput,
    code_dir: codeDir,
    pycache_dir: join(stageDir, 'pycache'),
    package: spec.packageName,
    backend: spec.backend,
    model_path:
      spec.models.length === 0 ? '' : [spec.modelRoot, ...spec.models.map(localModelName)].join(','),
    user_config: spec.userConfig,
    max_ongoing: spec.maxOngoingRequests,
    concurrency: spec.concurrency,
    max_batch_size: spec.maxBatchSize,
    batch_wait_timeout_s: spec.batchWaitTimeoutMs / 1000,
    orphan_timeout_s: ORPHAN_TIMEOUT_S,
  };
}

/**
 * The same for a process of another user, which can neither turn its log nor write beside the node's own files: what Python
 * compiles of the package is kept nowhere then, since root tidies up only where nobody else writes.
 */
export function launchFor(user: User | null, launch: LaunchFile): LaunchFile {
  if (user === null) return launch;
  const { pycache_dir: _, ...rest } = launch;
  return { ...rest, log: null };
}
