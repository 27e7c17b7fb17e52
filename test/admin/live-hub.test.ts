import { expect, it, onTestFinished } from 'vitest';
import { LiveHub } from '../../src/admin/live/hub.ts';
import type { LiveMessage } from '../../src/admin/types.ts';
import type { MetricTick } from '../../src/cluster/metrics/series.ts';
import type { StatusDocument } from '../../src/cluster/status/types.ts';
import type { ClusterEvent } from '../../src/store/types.ts';

/** A cluster that a test changes, and a hub that looks at it. */
class Scene {
  looks = 0;
  events: ClusterEvent[] = [];
  status = {
    leader: 'n1',
    revision: 1,
    store: { ok: true },
    nodes: [],
    deployments: [],
  } as unknown as StatusDocument;
  fails = false;
  tick: (tick: MetricTick) => void = () => expect.fail('nobody listens');
  readonly hub = new LiveHub({
    status: async () => {
      this.looks += 1;
      if (this.fails) throw new Error('the store is away');
      return this.status;
    },
    events: async (afterId, limit) =>
      afterId === null
        ? this.events.slice(-limit)
        : this.events.filter(({ id }) => Number(id) > Number(afterId)),
    onTick: (listener) => {
      this.tick = listener;
      return () => undefined;
    },
  });

  constructor() {
    onTestFinished(async () => await this.hub.stop());
  }

  deploy(...names: readonly string[]): void {
    this.status = {
      ...this.status,
      deployments: names.map((name) => ({ name })),
    } as unknown as StatusDocument;
  }

  async client(afterId: string | null = null) {
    const leave = new AbortController();
    const messages = (await this.hub.open(afterId, leave.signal))[Symbol.asyncIterator]();
    const next = async (): Promise<LiveMessage> => {
      const { value, done } = await messages.next();
      return done === true ? expect.fail('the stream is over') : value;
    };
    return { next, leave: () => leave.abort(), over: async () => (await messages.next()).done === true };
  }
}

it('begins with all of the status, and goes on with what is not as before', async () => {
  const scene = new Scene();
  scene.deploy('A', 'B');
  const client = await scene.client();
  expect(await client.next()).toMatchObject({
    event: 'status',
    data: { deployments: [{ name: 'A' }, { name: 'B' }] },
  });
  scene.deploy('B', 'C');
  expect(await client.next()).toMatchObject({
    event: 'changes',
    data: { deployments: [{ name: 'C' }], goneDeployments: ['A'], nodes: [], goneNodes: [] },
  });
  const rotation = { phase: 'drop', since: '', reason: null, waiting_for: ['n2'] } as const;
  scene.status = { ...scene.status, token_rotation: rotation };
  expect(await client.next()).toMatchObject({
    event: 'changes',
    data: { deployments: [], token_rotation: rotation },
  });
  scene.events.push({ id: '7', atMs: 1, type: 'node-joined', fields: {} });
  expect(await client.next()).toMatchObject({ event: 'event', data: { id: '7' } });
  scene.tick({ atMs: 5 } as MetricTick);
  expect(await client.next()).toMatchObject({ event: 'tick', data: { atMs: 5 } });
});

it('gives a client that comes back what it missed, and one from another life all of it', async () => {
  const scene = new Scene();
  const first = await scene.client();
  const { id } = await first.next();
  for (const atMs of [1, 2, 3]) scene.tick({ atMs } as MetricTick);
  const seen = await first.next();
  first.leave();
  expect(await first.over()).toBe(true);
  const again = await scene.client(seen.id);
  expect([await again.next(), await again.next()]).toMatchObject([
    { data: { atMs: 2 } },
    { data: { atMs: 3 } },
  ]);
  expect(await (await scene.client(id)).next()).toMatchObject({ data: { atMs: 1 } });
  for (const unknown of ['feedcafe-1', 'nonsense', `${id}9`])
    expect(await (await scene.client(unknown)).next()).toMatchObject({ event: 'status' });
});

it('sends a client that fell too far behind the whole status again, and keeps no more than a thousand messages', async () => {
  const scene = new Scene();
  const client = await scene.client();
  await client.next();
  for (let atMs = 0; atMs < 1_500; atMs += 1) scene.tick({ atMs } as MetricTick);
  expect(await client.next()).toMatchObject({ event: 'status' });
  expect(await client.next()).toMatchObject({ event: 'tick', data: { atMs: 1499 } });
  scene.tick({ atMs: 7 } as MetricTick);
  expect(await client.next()).toMatchObject({ data: { atMs: 7 } });
});

it('looks once for all clients, goes on after a failure, and ends its streams when it stops', async () => {
  const scene = new Scene();
  const clients = [await scene.client(), await scene.client(), await scene.client()];
  for (const client of clients) await client.next();
  expect(scene.looks).toBe(1);
  scene.fails = true;
  await expect.poll(() => scene.looks, { timeout: 10_000 }).toBeGreaterThan(2);
  scene.fails = false;
  scene.deploy('A');
  for (const client of clients) expect(await client.next()).toMatchObject({ event: 'changes' });
  await scene.hub.stop();
  for (const client of clients) expect(await client.over()).toBe(true);
});

it('says to the first client why there is nothing to see', async () => {
  const scene = new Scene();
  scene.fails = true;
  await expect(scene.client()).rejects.toThrow('the store is away');
});

it('wakes nobody because somebody else left, and rests when the last has left, whether or not it had begun to read', async () => {
  const scene = new Scene();
  const staying = new AbortController();
  let asked = 0;
  const counted = new Proxy(staying.signal, {
    get: (signal, name) => {
      if (name === 'aborted') asked += 1;
      const value: unknown = Reflect.get(signal, name, signal);
      return typeof value === 'function' ? value.bind(signal) : value;
    },
  });
  const messages = (await scene.hub.open(null, counted))[Symbol.asyncIterator]();
  await messages.next();
  const waiting = messages.next();
  await new Promise(setImmediate);
  const before = asked;
  for (const client of await Promise.all(Array.from({ length: 100 }, () => scene.client()))) {
    await client.next();
    const over = client.over();
    client.leave();
    expect(await over).toBe(true);
  }
  expect(asked).toBe(before);
  const idle = new AbortController();
  await scene.hub.open(null, idle.signal);
  idle.abort();
  staying.abort();
  expect((await waiting).done).toBe(true);
  expect(scene.hub.clientCount).toBe(0);
});

it('begins with the last rates as well, which come seconds apart', async () => {
  const scene = new Scene();
  const first = await scene.client();
  await first.next();
  scene.tick({ atMs: 5 } as MetricTick);
  const second = await scene.client();
  expect(await second.next()).toMatchObject({ event: 'status' });
  expect(await second.next()).toMatchObject({ event: 'tick', data: { atMs: 5 } });
});
