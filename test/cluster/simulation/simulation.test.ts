import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryConf, arbitrarySpec, specFrom } from './arbitrary.ts';
import {
  expectNoHastyDrain,
  expectNothingMoreToDo,
  expectNothingOvercommitted,
  expectSettled,
} from './invariants.ts';
import { CALM, SimWorld } from './world.ts';

/** More of them find more: `SIMULATION_RUNS=20000 npx vitest run --project unit test/cluster/simulation`. */
const RUNS = Number(process.env['SIMULATION_RUNS'] ?? 80);
const QUIET_TICKS = 260;
const NODES = ['head', 'w1', 'w2', 'w3'] as const;

const arbitraryNodeId = fc.constantFrom(...NODES);

const arbitraryAction = fc.oneof(
  { weight: 5, arbitrary: fc.record({ type: fc.constant('apply' as const), specs: arbitraryConf }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('pause' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('disturb' as const),
      nodeId: arbitraryNodeId,
      what: fc.constantFrom(
        'die' as const,
        'partition' as const,
        'return' as const,
        'drain' as const,
        'stay' as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('join' as const), nodeId: arbitraryNodeId }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('crash' as const),
      nodeId: arbitraryNodeId,
      index: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('flush' as const) }) },
);

type Action = typeof arbitraryAction extends fc.Arbitrary<infer One> ? One : never;

function act(world: SimWorld, action: Action): void {
  switch (action.type) {
    case 'apply':
      world.apply(action.specs);
      break;
    case 'disturb':
      world.disturb(action.nodeId, action.what);
      break;
    case 'join':
      world.join(action.nodeId, { gpus: action.nodeId === 'w3' ? 0 : 1, cpus: 2 });
      break;
    case 'crash':
      world.nodes.get(action.nodeId)?.agent.crash(action.index, world.nowMs);
      break;
    case 'flush':
      world.flush();
      break;
    default:
  }
}

/** One tick, looked at from every side. */
function step(world: SimWorld): void {
  const { seen, plan } = world.tick();
  expectNothingOvercommitted(world);
  expectNoHastyDrain(seen, plan);
  expectNothingMoreToDo(world);
}

describe('the control plane in a simulated world', () => {
  it('keeps its promises whatever is applied, lost, late or dead, and comes to rest', () => {
    const scenario = fc.record({
      seed: fc.integer(),
      late: fc.constantFrom(0, 0.3, 0.7),
      actions: fc.array(fc.record({ action: arbitraryAction, ticks: fc.integer({ min: 0, max: 25 }) }), {
        minLength: 2,
        maxLength: 16,
      }),
    });
    fc.assert(
      fc.property(scenario, ({ seed, late, actions }) => {
        const world = new SimWorld(seed);
        world.join('head', { gpus: 2, cpus: 2 });
        world.join('w1', { gpus: 1, cpus: 2 });
        world.weather = { reportLate: late, assignmentLate: late };
        for (const { action, ticks } of actions) {
          act(world, action);
          for (let count = 0; count < ticks; count += 1) step(world);
        }
        world.weather = CALM;
        for (const nodeId of world.nodes.keys()) world.disturb(nodeId, 'return');
        for (let count = 0; count < QUIET_TICKS; count += 1) step(world);
        expectSettled(world);
      }),
      { numRuns: RUNS },
    );
  }, 600_000);

  it('keeps one replica ready while revisions come and fail, where there is room beside it', () => {
    const revisions = fc.array(fc.record({ body: arbitrarySpec, ticks: fc.integer({ min: 0, max: 40 }) }), {
      minLength: 1,
      maxLength: 10,
    });
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(0, 0.5), revisions, (seed, late, sequence) => {
        const world = new SimWorld(seed);
        world.join('head', { gpus: 2, cpus: 2 });
        world.weather = { reportLate: late, assignmentLate: late };
        world.apply([
          specFrom({
            name: 'Echo',
            replicas: 1,
            gpuMilli: 0,
            memoryBytes: 0,
            cpuMilli: 100,
            code: 'works:1',
            config: 'applied:1',
          }),
        ]);
        for (let count = 0; count < 60; count += 1) step(world);
        expect(world.readyOf('Echo')).toBe(1);
        for (const { body, ticks } of sequence) {
          world.apply([
            specFrom({
              ...body,
              name: 'Echo',
              gpuMilli: 0,
              memoryBytes: 0,
              replicas: Math.max(1, body.replicas),
            }),
          ]);
          for (let count = 0; count < ticks; count += 1) {
            step(world);
            expect(world.readyOf('Echo'), `at ${world.nowMs} ms`).toBeGreaterThan(0);
          }
        }
      }),
      { numRuns: Math.ceil(RUNS / 2) },
    );
  }, 600_000);
});
