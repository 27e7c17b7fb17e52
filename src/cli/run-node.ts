import { resolve } from 'node:path';
import { statePaths } from '../config/paths.ts';
import { endLeftovers } from '../roles/leftovers.ts';
import type { RunningNode } from '../roles/node.ts';
import { ExitCode } from './exit.ts';
import { outlivesItsReader, print } from './output.ts';

/** One Ctrl-C may come twice: from the terminal, and passed on by the `npm start` above. */
const SAME_KEY_MS = 300;

/**
 * Runs a head or worker in the foreground until it has ended. SIGINT and SIGTERM drain it, SIGUSR2 leaves replicas
 * and ingress for the next node process, a second SIGINT ends everything at once.
 */
export async function runNode(stateDir: string, start: () => Promise<RunningNode>): Promise<ExitCode> {
  outlivesItsReader();
  const asked: { keepReplicas: boolean }[] = [];
  let askedAt = Number.NEGATIVE_INFINITY;
  let node: RunningNode | null = null;
  const end = (keepReplicas: boolean): void => {
    if (performance.now() - askedAt < SAME_KEY_MS) return;
    askedAt = performance.now();
    asked.push({ keepReplicas });
    if (asked.length > 1 && !keepReplicas) {
      void endAtOnce(stateDir);
      return;
    }
    print(
      keepReplicas
        ? 'stopping; replicas and ingress serve on'
        : 'stopping: finishing what is in flight (Ctrl-C again to end at once)',
    );
    void node?.stop({ keepReplicas });
  };
  const onEnd = (): void => end(false);
  const onLeave = (): void => end(true);
  process.on('SIGINT', onEnd);
  process.on('SIGTERM', onEnd);
  process.on('SIGUSR2', onLeave);
  node = await start();
  const [early] = asked; // a signal that came while it started
  if (early !== undefined) void node.stop(early);
  await node.ended;
  process.off('SIGINT', onEnd);
  process.off('SIGTERM', onEnd);
  process.off('SIGUSR2', onLeave);
  print('stopped');
  return ExitCode.done;
}

async function endAtOnce(stateDir: string): Promise<void> {
  await endLeftovers(statePaths(resolve(stateDir)), { graceMs: 0 });
  process.exit(ExitCode.failed);
}
