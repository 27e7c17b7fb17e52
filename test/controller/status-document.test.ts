import { expect, it } from 'vitest';
import { type ClusterFacts, type NodeFacts, statusDocument } from '../../src/controller/status-document.ts';
import { gpu, slice } from '../cluster/builders.ts';
import { type Cast, failure, replica, revised, rollout, waiting } from '../cluster/rollout/scene.ts';
import { ControlWorld } from './world.ts';

const spec = revised(2, { gpuMilli: 340, methods: ['GET', 'POST'], replicas: 2 });
const ready = replica('Echo-1', spec, { slices: [slice('n1', 0, 340)], startedAtMs: 0, restarts: 2 });
const old = replica('Echo-0', revised(1), { slices: [slice('n1', 0, 340)], phase: 'draining' });
const pending = waiting('Echo-2', spec, { slices: [slice('n1', 0, 340)], message: 'waits for room' });
const unheard = replica('Echo-3', spec, null);

function facts(over: Partial<ClusterFacts> = {}): ClusterFacts {
  const record = new ControlWorld().record('n1');
  const cast = [ready, old, pending, unheard];
  return {
    cluster: 'c1',
    leader: 'n1',
    revision: 2,
    store: { kind: 'redis', ok: true },
    rotation: null,
    nodes: [
      {
        record: {
          ...record,
          host: '::1',
          capacity: { ...record.capacity, gpus: [gpu('n1', 0), gpu('n1', 1)] },
        },
        alive: true,
        assigned: cast.map(({ assignment }) => assignment),
        reported: cast.flatMap(({ status }) => (status === null ? [] : [status])),
        casualties: [],
      },
    ],
    rollouts: [rollout(spec, revised(1))],
    states: [
      {
        deployment: 'Echo',
        health: 'UPDATING',
        message: 'on its way',
        target: 2,
        ready: 1,
        settled: false,
        unplaced: [],
      },
    ],
    ...over,
  };
}

it('shows each slice, and what of a GPU is free until exits are reaped', () => {
  const document = statusDocument(facts());
  expect(document).toMatchObject({
    version: 1,
    cluster: 'c1',
    leader: 'n1',
    revision: 2,
    store: { ok: true },
  });
  expect(document.nodes).toMatchObject([
    {
      id: 'n1',
      http: 'http://[::1]:8000',
      alive: true,
      gpus: [
        { index: 0, uuid: 'GPU-n1-0', virtual: true, free: 0.32 },
        { index: 1, free: 1 },
      ],
    },
  ]);
  expect(document.nodes[0]?.gpus[0]).not.toHaveProperty('memoryBytes');
});

it('shows every replica, those that their node has not answered for, too', () => {
  const [deployment] = statusDocument(facts()).deployments;
  expect(deployment).toMatchObject({
    name: 'Echo',
    route: '/echo',
    methods: ['GET', 'POST'],
    status: 'UPDATING',
    revision: 2,
    serving_revision: 2,
    target: 2,
    ready: 1,
    error: null,
  });
  expect(deployment?.replicas).toMatchObject([
    {
      id: 'Echo-1',
      node: 'n1',
      phase: 'ready',
      gpus: [{ index: 0, uuid: 'GPU-n1-0', fraction: 0.34 }],
      restarts: 2,
      started_at: '1970-01-01T00:00:00.000Z',
    },
    { id: 'Echo-0', phase: 'draining', gpus: [{ fraction: 0.34 }] },
    { id: 'Echo-2', phase: 'pending', message: 'waits for room', gpus: [] },
    { id: 'Echo-3', phase: 'pending', message: 'its node has not answered yet', pid: null },
  ]);
});

it('tells the whole story of a change that failed', () => {
  const failure = { revision: 2, message: 'ValueError: no', traceback: 'Traceback …', atMs: 0 };
  const { deployments } = statusDocument(
    facts({ rollouts: [rollout(spec, revised(1), failure)], nodes: [], states: [] }),
  );
  expect(deployments).toMatchObject([
    { revision: 2, serving_revision: null, error: 'Traceback …', replicas: [] },
  ]);
});

it('counts what serves of a deployment that the controller has not looked at yet', () => {
  const { deployments } = statusDocument(facts({ states: [] }));
  expect(deployments).toMatchObject([{ status: 'UPDATING', target: 2, ready: 1, message: '' }]);
});

const one = revised(1);

/** @param assigned what the leader has it run still; all that it reported unless told otherwise */
function node(nodeId: string, cast: readonly Cast[], alive: boolean, assigned = cast): NodeFacts {
  return {
    record: new ControlWorld().record(nodeId),
    alive,
    casualties: [],
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
    rotation: null,
    nodes,
    rollouts: [rollout(one, one)],
    states: [],
  };
  const replicas = statusDocument(facts).deployments[0]?.replicas ?? [];
  return replicas.map(({ id, node, phase, message }) => `${id} on ${node}: ${phase} ${message}`.trimEnd());
}

it('shows of a lost node what nothing has taken the place of, as what it said last', () => {
  const [a, b] = [replica('a', one), replica('b', one)];
  const unheard = 'its node is not heard of; this is what it said last';
  expect(replicasOf([node('w1', [a], false)])).toEqual([`a on w1: ready ${unheard}`]);
  expect(replicasOf([node('w1', [a], false, []), node('w2', [b], true)])).toEqual(['b on w2: ready']);
});

it('shows of a living node all that it runs, assigned or not', () => {
  expect(replicasOf([node('w1', [replica('a', one)], true, [])])).toEqual(['a on w1: ready']);
});

it.each([
  ['the process ended with code 9', 'some output', 'the process ended with code 9\nsome output'],
  ['the process ended with code 9', '', 'the process ended with code 9'],
  ['ValueError: no', 'Traceback …\nValueError: no', 'Traceback …\nValueError: no'],
])('says what happened to a replica, with its output: %s', (message, traceback, error) => {
  const [node] = facts().nodes;
  const broken = replica('Echo-1', spec, { failure: failure({ message, traceback }) }).status;
  if (node === undefined || broken === null) throw new Error('the scene has both');
  const document = statusDocument(facts({ nodes: [{ ...node, reported: [broken] }] }));
  expect(document.deployments[0]?.replicas[0]?.error).toBe(error);
});

it('names the requests that replicas died with under their deployment, the newest first', () => {
  const [node] = facts().nodes;
  if (node === undefined) throw new Error('no node');
  const casualty = { requestId: 'first', deployment: 'Echo', path: '/echo/a', deaths: 2, atMs: 1_000 };
  const others = [
    { ...casualty, deployment: 'Other' },
    { ...casualty, requestId: 'second', atMs: 2_000 },
  ];
  const nodes = [{ ...node, casualties: [casualty, ...others] }];
  expect(statusDocument(facts({ nodes })).deployments[0]?.lost_requests).toEqual([
    { request_id: 'second', path: '/echo/a', node: 'n1', deaths: 2, at: '1970-01-01T00:00:02.000Z' },
    { request_id: 'first', path: '/echo/a', node: 'n1', deaths: 2, at: '1970-01-01T00:00:01.000Z' },
  ]);
});
