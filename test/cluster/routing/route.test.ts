import { describe, expect, it } from 'vitest';
import { type RouteInput, route, sameTable } from '../../../src/cluster/routing/route.ts';
import type { RoutingTable } from '../../../src/cluster/routing/types.ts';
import {
  type Cast,
  draining,
  failure,
  node,
  reconciled,
  replica,
  revised,
  rollout,
  starting,
} from '../rollout/scene.ts';

const one = revised(1);
const settings = { port: 8000, ingressProcesses: 1, maxBodyBytes: 64, metricsOpen: false, accessLog: false };

function input(over: {
  rollouts?: RouteInput['rollouts'];
  cast?: readonly Cast[];
  alive?: boolean;
  cpus?: number;
}): RouteInput {
  const rollouts = over.rollouts ?? [rollout(one, one)];
  const { alive = true, cpus = 4 } = over;
  const nodes = [node('w1', over.cast ?? [], { alive }), node('w2', [], { cpus })];
  return {
    revision: { number: 7, createdAtMs: 0, confPath: '', confText: '', settings, deployments: [] },
    rollouts,
    states: reconciled(rollouts, nodes).plan.states,
    nodes: nodes.map(({ nodeId, alive, assigned, report }) => ({
      record: { nodeId, host: '10.0.0.1', linkPort: 7000 },
      alive,
      assigned,
      report,
    })),
  };
}

function stamped(over: Parameters<typeof input>[0], version = 1): RoutingTable {
  return { ...route(input(over)), version, epoch: version, incarnation: `i${version}` };
}

describe('route', () => {
  it('names the replicas that shall run, ready or not, and every node', () => {
    const cast = [
      replica('b', one),
      starting('a', one),
      draining(replica('c', one)),
      replica('d', one, null),
    ];
    const table = route(input({ cast }));
    expect(table).toMatchObject({
      revision: 7,
      port: 8000,
      ingressProcesses: 1,
      maxBodyBytes: 64,
      metricsOpen: false,
      accessLog: false,
    });
    expect(table.nodes).toEqual([
      { nodeId: 'w1', host: '10.0.0.1', linkPort: 7000 },
      { nodeId: 'w2', host: '10.0.0.1', linkPort: 7000 },
    ]);
    expect(table.deployments).toEqual([
      {
        deployment: 'Echo',
        route: 'echo',
        methods: ['GET', 'POST'],
        maxQueuedRequests: 100,
        requestTimeoutMs: 60_000,
        retries: 1,
        exposeErrors: 'loopback',
        apiKeys: null,
        apiRatePerS: 0,
        availability: { state: 'expected' },
        endpoints: ['a', 'b', 'd'].map((replicaId) => ({ replicaId, nodeId: 'w1' })),
      },
    ]);
  });

  it('takes nothing out of service because its node is not heard of', () => {
    const [entry] = route(input({ cast: [replica('a', one)], alive: false })).deployments;
    expect(entry?.endpoints).toEqual([{ replicaId: 'a', nodeId: 'w1' }]);
  });

  it('leaves out a deployment as soon as its section is gone', () => {
    const rollouts = [rollout(null, one), rollout(revised(1, { name: 'Faces' }))];
    const table = route(input({ rollouts, cast: [replica('a', one)] }));
    expect(table.deployments.map((entry) => entry.deployment)).toEqual(['Faces']);
  });

  it('follows the wanted spec while it is tried, and the last good one after it failed', () => {
    const moved = revised(2, { route: 'moved', hashes: { routing: 'routing-2', replace: 'replace-2' } });
    const routeOf = (over: Parameters<typeof input>[0]) => route(input(over)).deployments[0]?.route;
    expect(routeOf({ rollouts: [rollout(moved, one)] })).toBe('moved');
    const failed = { revision: 2, message: 'no', traceback: '', atMs: 0 };
    expect(routeOf({ rollouts: [rollout(moved, one, failed)] })).toBe('echo');
    expect(routeOf({ rollouts: [rollout(moved, null, failed)] })).toBe('moved');
  });

  it.each<{ name: string; over: Parameters<typeof input>[0]; expected: object }>([
    { name: 'ready', over: { cast: [replica('a', one)] }, expected: { state: 'expected' } },
    {
      name: 'was ready, starts again',
      over: { cast: [starting('a', one)] },
      expected: { state: 'expected' },
    },
    {
      name: 'ready, not good yet',
      over: { rollouts: [rollout(one)], cast: [replica('a', one, { stable: false })] },
      expected: { state: 'expected' },
    },
    {
      name: 'never ready so far',
      over: { rollouts: [rollout(one)], cast: [starting('a', one)] },
      expected: { state: 'starting', message: 'no replica has been ready yet' },
    },
    {
      name: 'never placed',
      over: { rollouts: [rollout(revised(1, { gpuMilli: 500 }))] },
      expected: { state: 'unplaced', message: 'node w1: no GPU, 0.5 needed; node w2: no GPU, 0.5 needed' },
    },
    {
      name: 'not wanted',
      over: { rollouts: [rollout(revised(1, { replicas: 0 }))] },
      expected: { state: 'unplaced', message: 'replicas = 0: none is wanted' },
    },
    {
      name: 'failed for good',
      over: { rollouts: [rollout(one, null, { revision: 1, message: 'no module', traceback: '', atMs: 0 })] },
      expected: { state: 'failed', message: 'no module' },
    },
    {
      name: 'crash-looping',
      over: { cast: [starting('a', one, { startFailures: 3, failure: failure() })] },
      expected: { state: 'crash-looping', message: 'ValueError: no' },
    },
    {
      name: 'on a lost node, room elsewhere',
      over: { cast: [replica('a', one)], alive: false },
      expected: { state: 'expected' },
    },
    {
      name: 'on a lost node, no room elsewhere',
      over: { cast: [replica('a', one)], alive: false, cpus: 0 },
      expected: {
        state: 'unplaced',
        message: 'node w1: it is not heard of; node w2: 0 of 0 CPUs free, 0.1 needed',
      },
    },
    {
      name: 'one crash-looping, one coming back',
      over: { cast: [starting('a', one, { startFailures: 3, failure: failure() }), starting('b', one)] },
      expected: { state: 'expected' },
    },
  ])('says what to expect of a deployment: $name', ({ over, expected }) => {
    expect(route(input(over)).deployments[0]?.availability).toEqual(expected);
  });
});

describe('sameTable', () => {
  it('looks at what a table says, not at who wrote it or how nodes were sorted', () => {
    const cast = [replica('a', one), replica('b', one)];
    expect(sameTable(stamped({ cast }), stamped({ cast: cast.toReversed() }, 2))).toBe(true);
    expect(sameTable(stamped({ cast }), stamped({ cast: cast.slice(1) }))).toBe(false);
  });
});
