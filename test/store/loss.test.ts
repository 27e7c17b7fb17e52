import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createApplyQueue } from '../../src/store/apply-queue.ts';
import type { StoreLink, Topic } from '../../src/store/types.ts';
import { ServerRig, until, VARIANTS } from './harness.ts';
import { nodeRecord, routingTable } from './records.ts';

const NOTHING_KNOWN = { highestEpoch: 0, incarnation: null, writeCount: 0 };

describe.each(VARIANTS)('loss of $name', ({ searchPath, missing }) => {
  describe.skipIf(missing)('and recovery', () => {
    const rigs: ServerRig[] = [];

    afterEach(async () => {
      for (const rig of rigs.splice(0)) await rig.dispose();
    });

    async function prepare(): Promise<ServerRig> {
      const rig = await ServerRig.prepare(searchPath);
      rigs.push(rig);
      return rig;
    }

    test('commands fail at once while it is away; link and hints come back with it', async () => {
      const rig = await prepare();
      const server = await rig.startServer();
      const store = await rig.connect();
      const hints: Topic[] = [];
      const links: StoreLink[] = [];
      await store.watch(['revision', 'nodes'], (topic) => hints.push(topic));
      store.onLink((link) => links.push(link));
      await store.publishNode(nodeRecord('n1'));
      await server.stop();
      await until('the loss is seen', () => store.link === 'lost');
      await expect(store.renewNode('n1')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
      await expect(store.readNodes()).rejects.toMatchObject({
        message: expect.stringContaining(`127.0.0.1:${rig.port}`),
      });
      hints.length = 0;
      await rig.startServer();
      await until('the link is back', () => store.link === 'connected', 3_000);
      expect(links).toEqual(['lost', 'connected']);
      await until(
        'all topics are hinted',
        () => hints.includes('revision') && hints.includes('nodes'),
        3_000,
      );
      expect(await store.readNodes()).toHaveLength(1);
    });

    test('a process may start without it, and be served when it comes', async () => {
      const rig = await prepare();
      const store = await rig.connect({ mayBeLost: true, commandTimeoutMs: 300 });
      expect(store.link).toBe('lost');
      const hints: Topic[] = [];
      await store.watch(['routing'], (topic) => hints.push(topic));
      await expect(rig.connect({ commandTimeoutMs: 300 })).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
      });
      await rig.startServer();
      await until('the link', () => store.link === 'connected', 3_000);
      await until('the hint', () => hints.includes('routing'), 3_000);
      expect(await store.readRouting()).toBeNull();
    });

    test('started again, its leader must campaign, and gets a new incarnation with a higher epoch', async () => {
      const rig = await prepare();
      const server = await rig.startServer();
      const store = await rig.connect();
      const won = await store.campaign('head-1', NOTHING_KNOWN);
      if (won === null) throw new Error('not won');
      await server.stop();
      await rig.startServer();
      await until('the link is back', () => store.link === 'connected');
      expect(await store.renewLeadership('head-1', won.epoch)).toBe(false);
      const again = await store.campaign('head-1', {
        highestEpoch: won.epoch,
        incarnation: won.incarnation,
        writeCount: store.writeCount,
      });
      expect(again?.epoch).toBe(won.epoch + 1);
      expect(again?.incarnation).not.toBe(won.incarnation);
    });

    test('with an older snapshot the data is older, and the incarnation new, whoever campaigns', async () => {
      const rig = await prepare();
      let server = await rig.startServer();
      const store = await rig.connect();
      const won = await store.campaign('head-1', NOTHING_KNOWN);
      if (won === null) throw new Error('not won');
      await store.publishRouting(won, routingTable(won, 1));
      await server.stop();
      await cp(rig.paths.store, join(rig.root, 'snapshot'), { recursive: true });
      server = await rig.startServer();
      await until('the link is back', () => store.link === 'connected');
      const second = await store.campaign('head-1', { ...NOTHING_KNOWN, highestEpoch: won.epoch });
      if (second === null) throw new Error('not won again');
      await store.publishRouting(second, routingTable(second, 7));
      await server.stop();
      await rm(rig.paths.store, { recursive: true });
      await cp(join(rig.root, 'snapshot'), rig.paths.store, { recursive: true });
      await rig.startServer();
      await until('the link is back', () => store.link === 'connected');
      expect((await store.readRouting())?.version).toBe(1);
      const stranger = await rig.connect();
      const third = await stranger.campaign('head-1', { ...NOTHING_KNOWN, highestEpoch: second.epoch });
      expect(third?.epoch).toBe(second.epoch + 1);
      expect([won.incarnation, second.incarnation]).not.toContain(third?.incarnation);
    });

    test('an apply in flight fails clearly, the next ones at once; the leader takes jobs again afterwards', async () => {
      const rig = await prepare();
      const server = await rig.startServer();
      const queue = createApplyQueue<string, string>(rig.storeOptions());
      try {
        let inHand = false;
        let finish = (): void => {};
        const long = new Promise<string>((resolve) => {
          finish = () => resolve('done');
        });
        const stopFirst = await queue.process(async (job) => {
          inHand = true;
          return job === 'long' ? long : `did ${job}`;
        });
        const inFlight = queue.submit('long', 20_000);
        inFlight.catch(() => {});
        await until('the job is in hand', () => inHand);
        await server.stop();
        await expect(inFlight).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
        await expect(queue.submit('lost', 20_000)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
        await rm(rig.paths.store, { recursive: true }); // an empty store
        await rig.startServer();
        finish();
        await stopFirst();
        await queue.process(async (job) => `then ${job}`);
        const taken = async (): Promise<boolean> => (await queue.submit('again', 5_000)) === 'then again';
        await until('a job is taken', () => taken().catch(() => false));
      } finally {
        await queue.close();
      }
    });

    test('closing while it is away ends', async () => {
      const rig = await prepare();
      const server = await rig.startServer();
      const store = await rig.connect();
      await store.watch(['nodes'], () => {});
      const queue = createApplyQueue<string, string>(rig.storeOptions());
      await queue.process(async (job) => job);
      expect(await queue.submit('job', 10_000)).toBe('job');
      await server.stop();
      await until('the loss is seen', () => store.link === 'lost');
      await Promise.all([store.close(), queue.close()]);
    });
  });
});

const REAL = VARIANTS.find(({ searchPath }) => searchPath !== '');

describe.skipIf(REAL === undefined || REAL.missing)('a server that is there and silent', () => {
  test('counts as lost after one deadline, and is used again when it speaks', async () => {
    const rig = await ServerRig.start(REAL?.searchPath ?? '');
    try {
      const store = await rig.connect({ commandTimeoutMs: 400 });
      const pid = rig.server.pid ?? 0;
      process.kill(pid, 'SIGSTOP');
      try {
        await expect(store.readRouting()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
        await until('the link is lost', () => store.link === 'lost', 2_000);
        await expect(store.readRouting()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      await until('the link is back', () => store.link === 'connected', 3_000);
      expect(await store.readRouting()).toBeNull();
    } finally {
      await rig.dispose();
    }
  });
});
