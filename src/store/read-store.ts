import type { NodeRecord } from '../cluster/nodes/types.ts';
import type { NodeAssignment, NodeReport } from '../cluster/replicas/types.ts';
import type { Rollout } from '../cluster/rollout/types.ts';
import type { Rotation } from '../cluster/rotation/types.ts';
import type { Revision } from '../cluster/spec/types.ts';
import type { StoreConnection } from './connection.ts';
import type { StoreKeys } from './keys.ts';
import { eventOf, parseRecord } from './records.ts';
import type { IngressEntry, NodeEntry, ReadStore } from './types.ts';

/** What leader and admin read. `readRouting` is the ingress' own. */
export function createReadStore(
  connection: StoreConnection,
  keys: StoreKeys,
): Omit<ReadStore, 'readRouting'> {
  const readHash = async <T>(action: string, key: string): Promise<readonly T[]> => {
    const texts = await connection.run(action, (redis) => redis.hvals(key));
    return texts.map((text) => parseRecord<T>(text, key));
  };

  return {
    readNodes: () => readNodes(connection, keys),
    readAssignments: () => readHash<NodeAssignment>('read the assignments', keys.assignments()),
    readIngresses: () => readHash<IngressEntry>('read the ingresses', keys.ingresses()),
    async readRevision() {
      const [revision, rollouts] = await connection.run('read the revision', (redis) =>
        redis.hmget(keys.revision(), 'revision', 'rollouts'),
      );
      if (typeof revision !== 'string' || typeof rollouts !== 'string') return null;
      return {
        revision: parseRecord<Revision>(revision, keys.revision()),
        rollouts: parseRecord<readonly Rollout[]>(rollouts, keys.revision()),
      };
    },
    async readRotation() {
      const action = 'read how far the token is replaced';
      const text = await connection.run(action, (redis) => redis.get(keys.rotation()));
      return text === null ? null : parseRecord<Rotation>(text, keys.rotation());
    },
    async readLeader() {
      const lease = await connection.run('read the leader', (redis) => redis.get(keys.leader()));
      const match = /^(\d+) (.*)$/.exec(lease ?? '');
      return match === null ? null : { epoch: Number(match[1]), candidateId: match[2] ?? '' };
    },
    async readEvents(afterId, limit) {
      const entries = await connection.run('read the events', async (redis) => {
        if (afterId !== null) return redis.xrange(keys.events(), `(${afterId}`, '+', 'COUNT', limit);
        return (await redis.xrevrange(keys.events(), '+', '-', 'COUNT', limit)).reverse();
      });
      return entries.map(([id, flat]) => eventOf(id, flat));
    },
  };
}

/** Records, then leases: a node that joins in between is missing, one that leaves shows without lease; a hint follows either. */
async function readNodes(connection: StoreConnection, keys: StoreKeys): Promise<readonly NodeEntry[]> {
  const [records, reports] = await connection.run('read the nodes', (redis) =>
    Promise.all([redis.hgetall(keys.nodes()), redis.hgetall(keys.reports())]),
  );
  const nodeIds = Object.keys(records).sort();
  if (nodeIds.length === 0) return [];
  const leases = await connection.run('read the leases', (redis) => redis.mget(nodeIds.map(keys.nodeLease)));
  return nodeIds.map((nodeId, index) => {
    const report = reports[nodeId];
    return {
      record: parseRecord<NodeRecord>(records[nodeId] ?? '', keys.nodes()),
      leased: typeof leases[index] === 'string',
      report: report === undefined ? null : parseRecord<NodeReport>(report, keys.reports()),
    };
  });
}
