import { describe, expect, it } from 'vitest';
import { specFrom } from '../cluster/simulation/arbitrary.ts';
import { unreachable } from '../support/memory-store.ts';
import { ControlWorld, draftOf, type Head, MemoryFiles } from './world.ts';

/** Long enough for a change to come into force, and for a lost node to be replaced. */
const WHILE = 40;

const echo = (over: Partial<Parameters<typeof specFrom>[0]> = {}) =>
  specFrom({
    name: 'Echo',
    replicas: 2,
    gpuMilli: 0,
    memoryBytes: 0,
    cpuMilli: 100,
    code: 'works:1',
    config: 'applied:1',
    ...over,
  });

async function serving(nodeIds: readonly string[], replicas = nodeIds.length) {
  const world = new ControlWorld();
  const head = await world.addHead('head');
  for (const nodeId of nodeIds) world.join(nodeId, { gpus: 0 });
  await world.ticks(3);
  await world.apply([echo({ replicas })]);
  await world.ticks(WHILE);
  expect(head.state.states).toMatchObject([{ health: 'HEALTHY', ready: replicas }]);
  return { world, head };
}

const allRunning = (world: ControlWorld): readonly string[] =>
  [...world.nodes.keys()].flatMap((nodeId) => world.running(nodeId));

describe('a leader whose store fails', () => {
  it('waits before it tries again', async () => {
    const world = new ControlWorld();
    const head = await world.addHead('head');
    world.server.isAway = true;
    expect(await head.leader.look()).toBe(1_000);
    expect(head.store.calls).toHaveLength(1);
  });

  it('publishes what was recorded while an older revision was on its way', async () => {
    const world = new ControlWorld();
    const head = await world.addHead('head');
    await world.ticks(2);
    await world.apply([echo({ replicas: 1 })]);
    let second = false;
    head.store.onCall = async (call) => {
      if (call !== 'publishRevision' || second) return;
      second = true;
      await head.leader.record(draftOf([echo({ replicas: 2 })]));
    };
    await world.ticks(2);
    expect(second).toBe(true);
    expect(world.server.content.revision?.revision.number).toBe(2);
  });

  it.each(['before', 'after'] as const)(
    'says every event once when a write broke %s it was done',
    async (when) => {
      const world = new ControlWorld();
      const head = await world.addHead('head');
      world.join('head', { gpus: 0 });
      await world.ticks(2);
      await world.apply([echo({ replicas: 1 })]);
      let broken = false;
      const breakOnce = (call: string): void => {
        if (call !== 'publishAssignment' || broken) return;
        broken = true;
        throw unreachable(call);
      };
      head.store[when === 'before' ? 'onCall' : 'onReply'] = breakOnce;
      await world.ticks(WHILE);
      const assigned = world.server.content.events.filter(({ type }) => type === 'replica-assigned');
      expect(broken).toBe(true);
      // A write whose answer was lost is done again: then the event is there twice, which is better than never.
      expect(assigned).toHaveLength(when === 'before' ? 1 : 2);
      expect(allRunning(world)).toHaveLength(1);
    },
  );

  it('tells of a revision as published only with the table that follows from it', async () => {
    const { world, head } = await serving(['head']);
    head.store.onCall = (call) => {
      if (call === 'publishRouting') throw unreachable(call);
    };
    await world.apply([echo({ replicas: 1, config: 'applied:2' })]);
    await world.ticks(WHILE);
    expect(head.leader.published?.revision).toBe(1);
    head.store.onCall = () => undefined;
    await world.ticks(2);
    expect(head.leader.published).toMatchObject({ revision: 2, table: { revision: 2 } });
  });

  it('gives up the lease and all subscriptions when it stops', async () => {
    const world = new ControlWorld();
    const head = await world.addHead('head');
    await head.leader.start();
    await expect.poll(() => head.leader.leadership).not.toBeNull();
    expect(head.store.watchers).toBe(1);
    await Promise.all([head.leader.stop(), head.leader.stop()]);
    expect(head.store.watchers).toBe(0);
    expect(world.server.content.lease).toBeNull();
  });
});

describe('a head that starts anew', () => {
  const stores: readonly [
    string,
    (world: ControlWorld, before: ControlWorld['server']['content']) => void,
  ][] = [
    ['intact', () => undefined],
    ['emptied', (world) => world.server.empty()],
    ['older', (world, before) => world.server.restore(before)],
  ];

  it.each(stores)('restarts nothing when the store is %s', async (_name, change) => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const before = world.server.content;
    await world.apply([echo({ replicas: 3 })]);
    await world.ticks(WHILE);
    const running = allRunning(world);
    expect(running).toHaveLength(3);
    change(world, before);
    await world.restart(head);
    for (let tick = 0; tick < WHILE; tick += 1) {
      await world.tick();
      expect(allRunning(world), `tick ${tick}`).toEqual(running);
    }
    expect(world.server.content.revision?.revision.number).toBe(2);
    expect(head.leader.published?.revision).toBe(2);
  });

  it.each(stores)('restarts nothing when the store is %s, while the head goes on', async (_name, change) => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const before = world.server.content;
    await world.apply([echo({ replicas: 3 })]);
    await world.ticks(WHILE);
    const running = allRunning(world);
    change(world, before);
    for (let tick = 0; tick < WHILE; tick += 1) {
      await world.tick();
      expect(allRunning(world), `tick ${tick}`).toEqual(running);
    }
    expect(head.leader.published?.revision).toBe(2);
  });

  it('restarts nothing when the store falls back to an earlier life of its data', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const before = world.server.content;
    world.server.empty();
    await world.ticks(5);
    await world.apply([echo({ replicas: 3 })]);
    await world.ticks(WHILE);
    const running = allRunning(world);
    world.server.restore(before);
    for (let tick = 0; tick < WHILE; tick += 1) {
      await world.tick();
      expect(allRunning(world), `tick ${tick}`).toEqual(running);
    }
    expect(head.leader.published?.revision).toBe(2);
  });

  it('takes over what the store has when its own disk is empty', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const running = allRunning(world);
    const version = world.server.content.routing?.version ?? 0;
    await world.restart(head, new MemoryFiles());
    await world.ticks(WHILE);
    expect(allRunning(world)).toEqual(running);
    expect(head.state.revision?.number).toBe(1);
    await world.apply([echo({ replicas: 3 })]);
    await world.ticks(WHILE);
    expect(head.state.revision?.number).toBe(2);
    expect(world.server.content.routing?.version).toBeGreaterThan(version);
    expect(allRunning(world)).toHaveLength(3);
  });

  it('leads nodes that follow an epoch which disk and store have both lost', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    for (let losses = 0; losses < 4; losses += 1) {
      world.server.empty();
      await world.ticks(2);
    }
    world.server.empty();
    await world.restart(head, new MemoryFiles());
    await world.ticks(2);
    await world.apply([echo({ replicas: 1, code: 'works:2' })]);
    await world.ticks(WHILE);
    expect(head.state.states).toMatchObject([{ health: 'HEALTHY', ready: 1 }]);
    expect(allRunning(world)).toHaveLength(1);
  });

  it('hears the nodes that it knew before it places anything, also when the store comes late', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const running = allRunning(world);
    const worker = world.nodes.get('w1');
    world.server.empty();
    world.server.isAway = true;
    await world.restart(head);
    await world.ticks(30);
    if (worker !== undefined) worker.isCutOff = true;
    world.server.isAway = false;
    await world.ticks(5);
    if (worker !== undefined) worker.isCutOff = false;
    await world.ticks(WHILE);
    expect(allRunning(world)).toEqual(running);
  });
});

describe('two heads on one store', () => {
  it('the one that led before goes on with what the other did meanwhile', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    const other = await world.addHead('other');
    head.isDown = true;
    await world.ticks(6);
    expect(world.leading).toBe(other);
    await world.apply([echo({ replicas: 2, code: 'works:2' })]);
    await world.ticks(WHILE);
    const running = allRunning(world);
    const pause = (one: Head, isDown: boolean): void => {
      one.isDown = isDown;
    };
    pause(other, true);
    pause(head, false);
    await world.ticks(WHILE);
    expect(world.leading).toBe(head);
    expect(head.state.revision?.number).toBe(2);
    expect(allRunning(world)).toEqual(running);
  });
});

describe('nodes that go', () => {
  it('nothing is moved when half of them vanish, one lease after the other', async () => {
    const { world, head } = await serving(['head', 'w1', 'w2', 'w3'], 4);
    const left = [...world.running('head'), ...world.running('w3')].sort();
    world.kill('w1');
    await world.ticks(1); // their renewals were a moment apart
    world.kill('w2');
    for (let tick = 0; tick < WHILE; tick += 1) {
      await world.tick();
      expect([...allRunning(world)].sort(), `tick ${tick}`).toEqual(left);
    }
    expect(head.leader.isAlive('w1') || head.leader.isAlive('w2')).toBe(false);
  });

  it('each is replaced when they are lost at different times, whatever was lost before', async () => {
    const { world } = await serving(['head', 'w1', 'w2', 'w3'], 4);
    for (const nodeId of ['w1', 'w2', 'w3']) {
      world.kill(nodeId);
      await world.ticks(WHILE);
      expect(allRunning(world), nodeId).toHaveLength(4);
    }
  });

  it('an earlier loss is no part of a later one after a restart of the head', async () => {
    const { world, head } = await serving(['head', 'w1', 'w2', 'w3'], 4);
    world.kill('w1');
    await world.ticks(WHILE);
    await world.restart(head);
    await world.ticks(WHILE);
    world.kill('w2');
    await world.ticks(WHILE);
    expect(allRunning(world)).toHaveLength(4);
  });

  it('what leaves in order is replaced and taken off the list, also most of them at once', async () => {
    const { world, head } = await serving(['head', 'w1', 'w2'], 3);
    await Promise.all([world.leave('w1'), world.leave('w2')]);
    await world.ticks(WHILE);
    expect([...head.leader.view.nodes.keys()]).toEqual(['head']);
    expect(world.running('head')).toHaveLength(3);
    expect([...world.server.content.assignments.keys()]).toEqual(['head']);
  });

  it('one that comes back within its time goes on with what it runs', async () => {
    const { world } = await serving(['head', 'w1'], 2);
    const running = allRunning(world);
    const worker = world.nodes.get('w1');
    if (worker !== undefined) worker.isCutOff = true;
    await world.ticks(9);
    if (worker !== undefined) worker.isCutOff = false;
    await world.ticks(WHILE);
    expect(allRunning(world)).toEqual(running);
  });
});

describe('stopping the cluster', () => {
  it('tells the other nodes to leave, those that join meanwhile, too, and not the head itself', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    head.leader.dismissNodes();
    await world.ticks(2);
    world.join('w2', { gpus: 0 });
    await world.ticks(2);
    const told = [...world.server.content.assignments.values()]
      .filter(({ leave }) => leave === true)
      .map(({ nodeId }) => nodeId);
    expect(told.sort()).toEqual(['w1', 'w2']);
    expect(await head.leader.waitUntilLeft(() => head.leader.others(), 0)).toEqual(['w1', 'w2']);
    await world.leave('w1');
    await world.leave('w2');
    await world.ticks(15);
    expect(await head.leader.waitUntilLeft(() => head.leader.others(), 0)).toEqual([]);
  });

  it('has a node on its list, though it has left, until the look that takes it off', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    await world.leave('w1');
    await world.ticks(3);
    world.nowMs += 1_500;
    expect(head.leader.isAlive('w1')).toBe(false);
    expect(head.leader.isListed('w1')).toBe(true);
    await world.ticks(1);
    expect(head.leader.isListed('w1')).toBe(false);
  });

  it('says to leave also to a node whose next assignment was on its way', async () => {
    const { world, head } = await serving(['head', 'w1'], 2);
    await world.apply([echo({ replicas: 6 })]);
    head.store.onCall = (call) => {
      if (call === 'publishAssignment') head.leader.dismissNodes();
    };
    await world.ticks(3);
    expect(world.server.content.assignments.get('w1')).toMatchObject({ leave: true, replicas: [] });
  });
});
