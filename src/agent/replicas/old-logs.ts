import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Of replicas that are gone, so many logs of each deployment are kept: what one of the last ones said is looked for. */
const KEPT_PER_DEPLOYMENT = 10;

interface ReplicaLog {
  readonly replicaId: string;
  /** the log and the older files that it was rotated into */
  readonly files: readonly string[];
  readonly lastWrittenMs: number;
}

/**
 * Removes the logs of replicas that have left for good, but for the last ten of each deployment.
 * @param folder `<deployment>/<replicaId>.log`, rotated into `.log.1` and so on
 * @param isHere whether a replica of that id still belongs to this node
 * @returns ids of the replicas whose logs were removed
 */
export async function pruneReplicaLogs(
  folder: string,
  isHere: (replicaId: string) => boolean,
): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const deployment of await namesIn(folder)) {
    const logs = await logsIn(join(folder, deployment));
    const gone = logs.filter((log) => !isHere(log.replicaId));
    gone.sort((left, right) => right.lastWrittenMs - left.lastWrittenMs);
    for (const { replicaId, files } of gone.slice(KEPT_PER_DEPLOYMENT)) {
      for (const file of files) await rm(file, { force: true });
      removed.push(replicaId);
    }
  }
  return removed;
}

async function logsIn(folder: string): Promise<ReplicaLog[]> {
  const byReplica = new Map<string, string[]>();
  for (const name of await namesIn(folder)) {
    const replicaId = /^(.+)\.log(?:\.\d+)?$/.exec(name)?.[1];
    if (replicaId === undefined) continue;
    byReplica.set(replicaId, [...(byReplica.get(replicaId) ?? []), join(folder, name)]);
  }
  const logs = [...byReplica].map(async ([replicaId, files]) => {
    const times = await Promise.all(files.map(lastWrittenMs));
    return { replicaId, files, lastWrittenMs: Math.max(...times) };
  });
  return await Promise.all(logs);
}

async function lastWrittenMs(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.mtimeMs ?? 0;
}

/** What is in a folder; nothing where there is none, or no folder at all. */
async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => []);
}
