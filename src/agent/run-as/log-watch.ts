import type { PinnedSpec } from '../../cluster/spec/types.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import { fileSizeBytes } from '../../lib/process/exit.ts';
import { rotateByCopy } from '../../lib/rotate-by-copy.ts';
import { LOG_FILES, LOG_MAX_BYTES } from '../environments/launch-content.ts';

const LOOK_MS = 5_000;

/**
 * Keeps the log of a replica that runs as another user small. Such a replica has its log open, and cannot reach the folder:
 * what root opens by name, nobody else may put there.
 * @returns ends the watch; idempotent
 */
export function watchLog(file: string, { runAs }: Pick<PinnedSpec, 'runAs'>, log: Log): () => void {
  if (runAs == null) return () => undefined; // also in a record of an earlier version
  const timer = setInterval(() => {
    try {
      if (fileSizeBytes(file) > LOG_MAX_BYTES) rotateByCopy(file, LOG_FILES);
    } catch (error) {
      log.warn({ file, error: messageOf(error) }, 'the log of a replica cannot be rotated');
    }
  }, LOOK_MS);
  return () => clearInterval(timer);
}
