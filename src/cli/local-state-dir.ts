import { defaultStateDir } from '../config/environment.ts';
import { statePaths } from '../config/paths.ts';
import { isRunning } from '../lib/process/identity.ts';
import { readStateLock } from '../roles/state-lock.ts';

/** State directory of this user's node on this machine: the head's, unless only the worker runs, or only it was ever there. */
export async function localStateDir(): Promise<string> {
  const head = defaultStateDir('head');
  const worker = defaultStateDir('worker');
  const [headLock, workerLock] = await Promise.all(
    [head, worker].map((dir) => readStateLock(statePaths(dir))),
  );
  if (headLock != null && isRunning(headLock)) return head;
  if (workerLock != null && isRunning(workerLock)) return worker;
  return headLock === null && workerLock !== null ? worker : head;
}
