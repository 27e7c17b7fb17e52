import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arbitraryConf } from '../cluster/simulation/arbitrary.ts';
import { CALM, ControlWorld, MemoryFiles } from './world.ts';

/** More of them find more: `SIMULATION_RUNS=5000 npx vitest run --project unit test/controller/leader-property`. */
const RUNS = Number(process.env['SIMULATION_RUNS'] ?? 60);
const QUIET_TICKS = 130;

const nodeId = fc.constantFrom('head', 'w1', 'w2', 'w3');
const headIndex = fc.integer({ min: 0, max: 1 });

const arbitraryAction = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('apply' as const), conf: arbitraryConf }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('apply twice' as const), conf: arbitraryConf }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('kill' as const), nodeId }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('cut off' as const), nodeId }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('bring back' as const), nodeId }) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('drain' as const), nodeId, draining: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('join' as const), nodeId: fc.constant('w3') }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('crash' as const),
      nodeId,
      index: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('flush' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('store away' as const), away: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('older store' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('lose leadership' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('restart head' as const), headIndex }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('head down' as const), headIndex, down: fc.boolean() }),
  },
);

type Action = typeof arbitraryAction extends fc.Arbitrary<infer One> ? One : never;

/** The worlds of the property: what may be done to one, and the older state that its store may fall back to. */
class Scenario {
  readonly world: ControlWorld;
  #snapshot: ControlWorld['server']['content'] | null = null;

  constructor(seed: number) {
    this.world = new ControlWorld(seed);
  }

  /** @returns what happens while the leaders look, in the next tick */
  act(action: Action): () => Promise<unknown> {
    const { world } = this;
    switch (action.type) {
      case 'apply':
        return () => world.apply(action.conf);
      case 'apply twice':
        return async () => {
          await world.apply([]);
          await world.apply(action.conf);
        };
      case 'restart head':
        return () => this.#restart(action.headIndex);
      default:
        this.#disturb(action);
        return async () => undefined;
    }
  }

  async #restart(index: number): Promise<void> {
    const head = this.world.heads[index];
    if (head !== undefined) await this.world.restart(head);
  }

  #disturb(action: Exclude<Action, { type: 'apply' | 'apply twice' | 'restart head' }>): void {
    const { server, nodes } = this.world;
    switch (action.type) {
      case 'flush':
        server.empty();
        break;
      case 'store away':
        server.isAway = action.away;
        break;
      case 'older store':
        if (this.#snapshot !== null) server.restore(this.#snapshot);
        this.#snapshot = server.content;
        break;
      case 'lose leadership':
        server.change({ lease: null });
        break;
      case 'head down': {
        const head = this.world.heads[action.headIndex];
        if (head !== undefined) head.isDown = action.down;
        break;
      }
      case 'join':
        this.world.join(action.nodeId, { gpus: 0 });
        break;
      default: {
        const node = nodes.get(action.nodeId);
        if (node !== undefined) this.#disturbNode(action, node);
      }
    }
  }

  #disturbNode(
    action: Extract<Action, { type: 'kill' | 'cut off' | 'bring back' | 'drain' | 'crash' }>,
    node: NonNullable<ReturnType<ControlWorld['nodes']['get']>>,
  ): void {
    switch (action.type) {
      case 'kill':
        this.world.kill(action.nodeId);
        break;
      case 'cut off':
        node.isCutOff = true;
        break;
      case 'bring back':
        node.isDead = false;
        node.isCutOff = false;
        break;
      case 'drain':
        node.isDraining = action.draining;
        break;
      default:
        node.agent.crash(action.index, this.world.nowMs);
    }
  }

  calmDown(): void {
    const { world } = this;
    world.weather = CALM;
    world.server.isAway = false;
    for (const head of world.heads) head.isDown = false;
    for (const node of world.nodes.values()) {
      node.isDead = false;
      node.isCutOff = false;
      node.isDraining = false;
    }
  }
}

/** On no GPU do the slices of all that runs or drains exceed the whole, nor the memory of any node. */
function expectNothingOvercommitted(world: ControlWorld): void {
  for (const [id, { agent }] of world.nodes) {
    const held = agent.held();
    const memoryBytes = held.reduce((sum, claim) => sum + claim.memoryBytes, 0);
    expect(memoryBytes, `memory of ${id}`).toBeLessThanOrEqual(agent.capacity.memoryBytes);
    for (const { uuid } of agent.capacity.gpus) {
      const slices = held.flatMap((claim) => claim.slices).filter((slice) => slice.uuid === uuid);
      const milli = slices.reduce((sum, slice) => sum + slice.milli, 0);
      expect(milli, `GPU ${uuid}`).toBeLessThanOrEqual(1000);
    }
  }
}

/** After a quiet time the newest revision is in force or says why not, and nothing is left over anywhere. */
function expectSettled(world: ControlWorld): void {
  const head = world.leading;
  expect(head, 'somebody leads').not.toBeNull();
  if (head === null) return;
  const { state, leader } = head;
  const assigned = [...leader.view.nodes.keys()].flatMap((id) => leader.view.assignment(id)?.replicas ?? []);
  const running = [...world.nodes.keys()].flatMap((id) => world.running(id));
  expect(assigned.map((one) => one.replicaId).sort()).toEqual(running.sort());
  expect(assigned.filter((one) => one.desired === 'drain')).toEqual([]);
  expect(state.rollouts.filter((rollout) => rollout.wanted === null)).toEqual([]);
  for (const { deployment, health, ready, target, unplaced, message } of state.states) {
    expect(['HEALTHY', 'DEPLOY_FAILED', 'PENDING'], `${deployment}: ${message}`).toContain(health);
    if (health === 'HEALTHY') expect(ready, deployment).toBe(target);
    if (health === 'PENDING') expect(unplaced.length, deployment).toBeGreaterThan(0);
  }
  // A head that did not lead knows of the others' revisions only what the store had when it was elected.
  const known = world.heads.length === 1 ? world.heads : [head];
  const newest = Math.max(0, ...known.flatMap(({ files }) => [...files.revisions.keys()]));
  expect(state.revision?.number ?? 0).toBe(newest);
  expect(world.server.content.revision?.revision.number ?? 0, 'in the store').toBe(newest);
  expect(leader.published?.revision ?? 0, 'published').toBe(newest);
}

describe('the controller over agents that delay, repeat and lose reports', () => {
  it('never gives a GPU out twice, and comes to rest with the newest revision', async () => {
    const weather = fc.record({
      lost: fc.constantFrom(0, 0.3, 0.6),
      stale: fc.constantFrom(0, 0.4),
      broken: fc.constantFrom(0, 0, 0.02, 0.1),
    });
    const scenario = fc.record({
      seed: fc.integer(),
      weather,
      heads: fc.constantFrom(1, 1, 2),
      actions: fc.array(fc.record({ action: arbitraryAction, ticks: fc.integer({ min: 0, max: 15 }) }), {
        minLength: 2,
        maxLength: 14,
      }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ seed, weather: given, heads, actions }) => {
        const run = new Scenario(seed);
        const { world } = run;
        for (let count = 0; count < heads; count += 1) await world.addHead(`head${count}`, new MemoryFiles());
        world.join('head', { gpus: 2 });
        world.join('w1', { gpus: 1 });
        world.join('w2', { gpus: 1 });
        world.weather = given;
        for (const { action, ticks } of actions) {
          let meanwhile = run.act(action);
          for (let count = 0; count <= ticks; count += 1) {
            await world.tick(() => meanwhile().catch(() => undefined));
            meanwhile = async () => undefined;
            expectNothingOvercommitted(world);
          }
        }
        run.calmDown();
        for (let count = 0; count < QUIET_TICKS; count += 1) {
          await world.tick();
          expectNothingOvercommitted(world);
        }
        expectSettled(world);
      }),
      { numRuns: RUNS },
    );
  }, 600_000);
});
