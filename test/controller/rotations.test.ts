import { expect, test } from 'vitest';
import { stepOf } from '../../src/cluster/rotation/decide.ts';
import type { RotatingNode, Rotation } from '../../src/cluster/rotation/types.ts';
import { Rotations } from '../../src/controller/rotations.ts';
import { rotationStatus } from '../../src/controller/status-document.ts';
import { silentLog } from '../../src/lib/log.ts';
import { MemoryServer } from '../support/memory-store.ts';

class World {
  nowMs = 0;
  ended = 0;
  inUse: readonly string[] = ['old'];
  readonly server = new MemoryServer(() => this.nowMs);
  readonly store = this.server.connect();
  rotations = this.head();
  nodes: readonly RotatingNode[] = [node('a'), node('b')];
  epoch = 0;

  head(): Rotations {
    const { inUse } = this;
    return new Rotations({
      store: this.store,
      log: silentLog,
      tokens: { propose: () => ({ from: 'old', to: 'new', sealed: 'sealed' }), inUse },
      onEnded: async () => {
        this.ended += 1;
      },
    });
  }

  async look(passMs = 100): Promise<Rotation | null> {
    this.nowMs += passMs;
    const leadership = await this.store.campaign('head', {
      highestEpoch: 0,
      incarnation: null,
      writeCount: 0,
    });
    if (leadership === null) throw new Error('not leading');
    expect(await this.rotations.step({ ...leadership }, this.nodes, this.nowMs)).toBe('written');
    return await this.store.readRotation();
  }

  /** every node follows what the store says */
  async follow(): Promise<void> {
    const rotation = await this.store.readRotation();
    if (rotation === null) return;
    this.nodes = this.nodes.map(({ nodeId }) => node(nodeId, stepOf(rotation)));
  }

  get events(): readonly string[] {
    return this.server.content.events.map(({ type }) => type).filter((type) => type.startsWith('token'));
  }
}

function node(nodeId: string, step: string | null = null): RotatingNode {
  return { nodeId, isAlive: true, tokens: { shows: 'old', step } };
}

async function started(world: World): Promise<void> {
  const granted = world.rotations.start(60_000);
  await world.look();
  await granted;
}

test('takes the token through its phases as all nodes follow, another head goes on, and says so', async () => {
  const world = new World();
  expect(await world.look()).toBeNull();
  await started(world);
  expect(await world.look()).toMatchObject({ phase: 'accept', sealed: 'sealed' });
  const since = new Date(200).toISOString();
  expect(rotationStatus(world.rotations)).toEqual({
    ...{ phase: 'accept', reason: null, since },
    waiting_for: ['a', 'b'],
  });
  expect(world.rotations.nodes).toEqual([
    { nodeId: 'a', hasFollowed: false },
    { nodeId: 'b', hasFollowed: false },
  ]);
  await world.follow();
  expect(await world.look()).toMatchObject({ phase: 'use' });
  world.rotations = world.head();
  await world.follow();
  expect(await world.look()).toMatchObject({ phase: 'drop' });
  await world.follow();
  expect(await world.look()).toMatchObject({ phase: null, reason: null, sealed: null });
  expect(world.events).toEqual(['token-rotation-started', 'token-rotated']);
  expect(world.ended).toBe(1);
});

test('is one at a time, and not for nodes of an earlier version', async () => {
  const world = new World();
  world.nodes = [node('a'), { nodeId: 'b', isAlive: true, tokens: null }];
  const refused = expect(world.rotations.start(1_000)).rejects.toMatchObject({ code: 'ROTATION_REFUSED' });
  await world.look();
  await refused;
  world.nodes = [node('a')];
  await started(world);
  const second = expect(world.rotations.start(1_000)).rejects.toMatchObject({ code: 'ROTATION_RUNS' });
  await world.look();
  await second;
});

test('goes back when it is told to, as long as no node has dropped the old token', async () => {
  const world = new World();
  await started(world);
  await world.follow();
  await world.look();
  const cancelled = world.rotations.cancel();
  expect(await world.look()).toMatchObject({ phase: 'back', reason: 'cancelled' });
  await cancelled;
  await world.follow();
  expect(await world.look()).toMatchObject({ phase: 'restore' });
  await world.follow();
  expect(await world.look()).toMatchObject({ phase: null, reason: 'cancelled' });
  expect(world.events).toEqual(['token-rotation-started', 'token-rotation-turned', 'token-rotation-undone']);
  const late = expect(world.rotations.cancel()).rejects.toMatchObject({ code: 'ROTATION_REFUSED' });
  await world.look();
  await late;
});

test('reminds nodes that may have missed it', async () => {
  const world = new World();
  await started(world);
  const told = (): number => world.store.calls.filter((call) => call === 'publishRotation').length;
  await world.look(100);
  expect(told()).toBe(1);
  await world.look(1_000);
  expect(told()).toBe(2);
});

test('where the store has lost it, all nodes end with the token that the head shows', async () => {
  const world = new World();
  world.inUse = ['new', 'old'];
  world.rotations = world.head();
  await world.look();
  expect(world.rotations.rotation).toMatchObject({ from: 'new', to: 'old', phase: 'back' });
  await world.follow();
  world.nodes = world.nodes.map(({ nodeId }) => node(nodeId, 'new old back'));
  expect(await world.look()).toMatchObject({ from: 'new', to: 'old', phase: 'restore' });
});
