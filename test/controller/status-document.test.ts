import { expect, test } from 'vitest';
import type { NodeRecord } from '../../src/cluster/nodes/types.ts';
import { type ClusterFacts, type NodeFacts, statusDocument } from '../../src/controller/status-document.ts';
import { placeableNode } from '../cluster/builders.ts';
import { type Cast, replica, revised, rollout } from '../cluster/rollout/scene.ts';

const one = revised(1);

function record(nodeId: string): NodeRecord {
  return {
    nodeId,
    role: 'worker',
    hostname: nodeId,
    host: '10.0.0.1',
    httpPort: 8000,
    linkPort: 7000,
    capacity: placeableNode(nodeId).capacity,
    draining: false,
    modelserveVersion: '1',
    pid: 1,
    protocols: { channel: 1, store: 1 },
    startedAtMs: 0,
  };
}

/** @param assigned what the leader has it run still; all that it reported unless told otherwise */
function node(nodeId: string, cast: readonly Cast[], alive: boolean, assigned = cast): NodeFacts {
  return {
    record: record(nodeId),
    alive,
    assigned: assigned.map(({ assignment }) => assignment),
    reported: cast.flatMap(({ status }) => (status === null ? [] : [status])),
  };
}

function replicasOf(nodes: readonly NodeFacts[]): readonly string[] {
  const facts: ClusterFacts = {
    cluster: 'c',
    leader: 'head',
    revision: 1,
    store: { kind: 'redis', ok: true },
    nodes,
    rollouts: [rollout(one, one)],
    states: [],
  };
  const replicas = statusDocument(facts).deployments[0]?.replicas ?? [];
  return replicas.map(({ id, node, phase, message }) => `${id} on ${node}: ${phase} ${message}`.trimEnd());
}

test('shows of a lost node what nothing has taken the place of, as what it said last', () => {
  const [a, b] = [replica('a', one), replica('b', one)];
  const unheard = 'its node is not heard of; this is what it said last';
  expect(replicasOf([node('w1', [a], false)])).toEqual([`a on w1: ready ${unheard}`]);
  expect(replicasOf([node('w1', [a], false, []), node('w2', [b], true)])).toEqual(['b on w2: ready']);
});

test('shows of a living node all that it runs, assigned or not', () => {
  expect(replicasOf([node('w1', [replica('a', one)], true, [])])).toEqual(['a on w1: ready']);
});
