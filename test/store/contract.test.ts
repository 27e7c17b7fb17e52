import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { connectStore } from '../../src/store/redis-store.ts';
import type { Leadership, Store, StoreLink, Topic } from '../../src/store/types.ts';
import { ServerRig, until, VARIANTS } from './harness.ts';
import { assignment, nodeRecord, nodeReport, revision, routingTable } from './records.ts';

const NOTHING_KNOWN = { highestEpoch: 0, incarnation: null, writeCount: 0 };

describe.each(VARIANTS)('the store on $name', ({ searchPath, missing }) => {
  describe.skipIf(missing)('contract', () => {
    let rig: ServerRig;
    let prefixes = 0;
    const stores: Store[] = [];

    beforeAll(async () => {
      rig = await ServerRig.start(searchPath);
    });
    afterEach(async () => {
      await Promise.all(stores.splice(0).map((store) => store.close()));
    });
    afterAll(() => rig.dispose());

    /** Stores of a cluster of the test's own. */
    async function open(count: 1): Promise<readonly [Store, string]>;
    async function open(count: 2): Promise<readonly [Store, Store, string]>;
    async function open(count: number): Promise<readonly unknown[]> {
      prefixes += 1;
      const prefix = `test-${prefixes}`;
      const opened = await Promise.all(Array.from({ length: count }, () => rig.connect({ prefix })));
      stores.push(...opened);
      return [...opened, prefix];
    }

    async function lead(store: Store, candidateId = 'head-1'): Promise<Leadership> {
      const leadership = await store.campaign(candidateId, NOTHING_KNOWN);
      if (leadership === null) throw new Error(`${candidateId} did not win`);
      return leadership;
    }

    describe('leadership', () => {
      test('one candidate holds the lease; another gets it when the first resigns, with a higher epoch', async () => {
        const [first, second] = await open(2);
        const won = await lead(first);
        expect(await second.campaign('head-2', NOTHING_KNOWN)).toBeNull();
        expect(await first.readLeader()).toEqual({ candidateId: 'head-1', epoch: won.epoch });
        await first.resign('head-1', won.epoch);
        expect(await second.readLeader()).toBeNull();
        expect(await second.campaign('head-2', NOTHING_KNOWN)).toEqual({
          epoch: won.epoch + 1,
          incarnation: won.incarnation,
        });
      });

      test('a lease that is not renewed ends, and its holder hears of it', async () => {
        const [first, second, prefix] = await open(2);
        const won = await lead(first);
        expect(await first.renewLeadership('head-1', won.epoch)).toBe(true);
        const raw = await rig.rawClient();
        expect(await raw.pttl(storeKeys(prefix).leader())).toBeGreaterThan(3_000);
        await raw.pexpire(storeKeys(prefix).leader(), 1);
        await until('the lease ends', async () => (await second.readLeader()) === null);
        expect(await first.renewLeadership('head-1', won.epoch)).toBe(false);
        expect(await second.campaign('head-2', NOTHING_KNOWN)).not.toBeNull();
        expect(await first.campaign('head-1', NOTHING_KNOWN)).toBeNull();
      });

      test('a candidate that starts anew takes its own lease again; its earlier life is fenced', async () => {
        const [first, second] = await open(2);
        const earlier = await lead(first);
        const later = await lead(second, 'head-1');
        expect(later.epoch).toBe(earlier.epoch + 1);
        expect(await first.renewLeadership('head-1', earlier.epoch)).toBe(false);
        expect(await first.publishRouting(earlier, routingTable(earlier, 1))).toBe('fenced');
        expect(await second.publishRouting(later, routingTable(later, 1))).toBe('written');
      });

      test('the epoch is above the highest that the caller has seen', async () => {
        const [store] = await open(1);
        expect((await store.campaign('head-1', { ...NOTHING_KNOWN, highestEpoch: 41 }))?.epoch).toBe(42);
      });
    });

    describe('fencing', () => {
      test('no write of a former leader changes anything', async () => {
        const [first, second] = await open(2);
        const former = await lead(first);
        expect(await first.publishRouting(former, routingTable(former, 1))).toBe('written');
        await first.publishNode(nodeRecord('n1'));
        await first.resign('head-1', former.epoch);
        const now = await lead(second, 'head-2');
        const events = await second.readEvents(null, 100);
        expect(await first.publishRouting(former, routingTable(former, 2))).toBe('fenced');
        expect(await first.publishRevision(former, revision(9), [])).toBe('fenced');
        expect(
          await first.publishAssignment(former, assignment('n1', former), [{ type: 'x', fields: {} }]),
        ).toBe('fenced');
        expect(await first.forgetNode(former, 'n1')).toBe('fenced');
        expect(await second.readRouting()).toEqual(routingTable(former, 1));
        expect(await second.readRevision()).toBeNull();
        expect(await second.readAssignments()).toEqual([]);
        expect(await second.readNodes()).toHaveLength(1);
        expect(await second.readEvents(null, 100)).toEqual(events);
        expect(await second.publishRouting(now, routingTable(now, 2))).toBe('written');
      });

      test('the right epoch in another incarnation is fenced', async () => {
        const [store] = await open(1);
        const leadership = await lead(store);
        const stranger = { ...leadership, incarnation: 'another' };
        expect(await store.publishRouting(stranger, routingTable(stranger, 1))).toBe('fenced');
      });
    });

    describe('incarnation', () => {
      test('goes on while the data is what the leader left', async () => {
        const [store, prefix] = await open(1);
        const won = await lead(store);
        await store.publishRouting(won, routingTable(won, 1));
        const next = await rig.connect({ prefix });
        stores.push(next);
        const known = {
          highestEpoch: won.epoch,
          incarnation: won.incarnation,
          writeCount: store.writeCount,
        };
        expect((await next.campaign('head-1', known))?.incarnation).toBe(won.incarnation);
        expect(next.writeCount).toBe(store.writeCount);
      });

      test('is new when the store was emptied, and the leader hears that it must campaign', async () => {
        const [store, prefix] = await open(1);
        const won = await lead(store);
        await store.publishNode(nodeRecord('n1'));
        const raw = await rig.rawClient();
        await raw.del(await raw.keys(`{${prefix}}*`));
        expect(await store.renewLeadership('head-1', won.epoch)).toBe(false);
        expect(await store.renewNode('n1')).toBe(false);
        expect(await store.publishRouting(won, routingTable(won, 1))).toBe('fenced');
        const again = await store.campaign('head-1', {
          highestEpoch: won.epoch,
          incarnation: won.incarnation,
          writeCount: store.writeCount,
        });
        expect(again?.epoch).toBe(won.epoch + 1);
        expect(again?.incarnation).not.toBe(won.incarnation);
        expect(store.writeCount).toBe(0);
      });

      test.each([
        ['has fewer writes than the caller made', { sameName: true, writeCount: 2 }],
        ['has another name than the caller knows', { sameName: false, writeCount: 0 }],
      ])('is new when the data %s', async (_reason, { sameName, writeCount }) => {
        const [store, prefix] = await open(1);
        const won = await lead(store);
        await store.publishRouting(won, routingTable(won, 1));
        const next = await rig.connect({ prefix });
        stores.push(next);
        const again = await next.campaign('head-1', {
          highestEpoch: 0,
          incarnation: sameName ? won.incarnation : 'other',
          writeCount,
        });
        expect(again?.epoch).toBe(won.epoch + 1);
        expect(again?.incarnation).not.toBe(won.incarnation);
      });

      test('is new when the connection itself wrote more than the data holds', async () => {
        const [store, prefix] = await open(1);
        const won = await lead(store);
        for (const version of [1, 2, 3]) await store.publishRouting(won, routingTable(won, version));
        const raw = await rig.rawClient();
        await raw.set(storeKeys(prefix).writes(), 1);
        const known = { highestEpoch: won.epoch, incarnation: won.incarnation, writeCount: 0 };
        expect((await store.campaign('head-1', known))?.incarnation).not.toBe(won.incarnation);
      });
    });

    describe('nodes', () => {
      test('a node is leased while it renews; record and report stay when the lease ends', async () => {
        const [store, prefix] = await open(1);
        await store.publishNode(nodeRecord('n1'));
        expect(await store.readNodes()).toEqual([{ record: nodeRecord('n1'), leased: true, report: null }]);
        await store.publishReport(nodeReport('n1'));
        expect(await store.renewNode('n1')).toBe(true);
        const raw = await rig.rawClient();
        expect(await raw.pttl(storeKeys(prefix).nodeLease('n1'))).toBeGreaterThan(9_000);
        await raw.pexpire(storeKeys(prefix).nodeLease('n1'), 1);
        await until('the lease ends', async () => (await store.readNodes())[0]?.leased === false);
        expect(await store.renewNode('n1')).toBe(false);
        expect((await store.readNodes())[0]?.report).toEqual(nodeReport('n1'));
      });

      test('joining and leaving are events, once each; the assignment stays for the leader', async () => {
        const [store] = await open(1);
        const leadership = await lead(store);
        await store.publishNode(nodeRecord('n1'));
        await store.publishNode(nodeRecord('n1'));
        await store.publishAssignment(leadership, assignment('n1', leadership), []);
        await store.publishIngress({ nodeId: 'n1', incarnation: 'i', routingVersion: 1 });
        expect(await store.readIngresses()).toHaveLength(1);
        await store.removeNode('n1');
        await store.removeNode('n1');
        const types = (await store.readEvents(null, 100)).map((event) => event.type);
        expect(types).toEqual(['leader-elected', 'node-joined', 'node-left']);
        expect(await store.readNodes()).toEqual([]);
        expect(await store.readIngresses()).toEqual([]);
        expect(await store.readAssignment('n1')).toEqual(assignment('n1', leadership));
        expect(await store.readAssignment('n2')).toBeNull();
      });

      test('a forgotten node leaves nothing, and joins as a new one', async () => {
        const [store] = await open(1);
        const leadership = await lead(store);
        await store.publishNode(nodeRecord('n1'));
        await store.publishReport(nodeReport('n1'));
        await store.publishAssignment(leadership, assignment('n1', leadership), []);
        expect(await store.forgetNode(leadership, 'n1')).toBe('written');
        expect(await store.readNodes()).toEqual([]);
        expect(await store.readAssignments()).toEqual([]);
        expect(await store.renewNode('n1')).toBe(false);
        await store.publishNode(nodeRecord('n1'));
        expect((await store.readNodes())[0]?.report).toBeNull();
      });
    });

    test('a revision is read with its rollouts, and recorded as an event once', async () => {
      const [store] = await open(1);
      const leadership = await lead(store);
      const rollout = { deployment: 'Echo', wanted: null, lastGood: null, failure: null };
      await store.publishRevision(leadership, revision(3), []);
      await store.publishRevision(leadership, revision(3), [rollout]);
      expect(await store.readRevision()).toEqual({ revision: revision(3), rollouts: [rollout] });
      const recorded = (await store.readEvents(null, 100)).filter(({ type }) => type === 'revision-recorded');
      expect(recorded.map(({ fields }) => fields)).toEqual([{ revision: 3 }]);
    });

    describe('events', () => {
      test('come oldest first, after a given one, with the time and every JSON value', async () => {
        const [store] = await open(1);
        const fields = { list: [], object: {}, nested: [{ a: null }], text: 'ü"\n', number: 1.5 };
        for (const type of ['one', 'two', 'three']) await store.appendEvent({ type, fields });
        const all = await store.readEvents(null, 100);
        expect(all.map(({ type }) => type)).toEqual(['one', 'two', 'three']);
        expect(all[0]?.fields).toEqual(fields);
        expect(Math.abs((all[0]?.atMs ?? 0) - Date.now())).toBeLessThan(60_000);
        expect((await store.readEvents(null, 2)).map(({ type }) => type)).toEqual(['two', 'three']);
        expect((await store.readEvents(all[0]?.id ?? '', 1)).map(({ type }) => type)).toEqual(['two']);
        expect(await store.readEvents(all[2]?.id ?? '', 10)).toEqual([]);
      });

      test('are capped at about ten thousand', async () => {
        const [store, prefix] = await open(1);
        const leadership = await lead(store);
        const drafts = Array.from({ length: 1_000 }, (_, index) => ({ type: 'many', fields: { index } }));
        for (let round = 0; round < 12; round += 1) {
          await store.publishAssignment(leadership, assignment('n1', leadership), drafts);
        }
        const raw = await rig.rawClient();
        const kept = await raw.xlen(storeKeys(prefix).events());
        expect(kept).toBeGreaterThanOrEqual(10_000);
        expect(kept).toBeLessThanOrEqual(10_200);
      });
    });

    describe('watch', () => {
      test('hints the topics asked for, and no others, until it is stopped', async () => {
        const [store] = await open(1);
        const hints: Topic[] = [];
        const stop = await store.watch(['nodes', 'leader'], (topic) => hints.push(topic));
        hints.length = 0;
        const leadership = await lead(store);
        await store.publishRouting(leadership, routingTable(leadership, 1));
        await store.publishReport(nodeReport('n1'));
        await store.publishNode(nodeRecord('n1'));
        await until('the hint of the node', () => hints.includes('nodes'));
        expect(hints).toEqual(['leader', 'nodes']);
        await stop();
        const later: Topic[] = [];
        await store.watch(['routing', 'nodes'], (topic) => later.push(topic));
        await store.publishRouting(leadership, routingTable(leadership, 2));
        await store.publishNode(nodeRecord('n1'));
        await until('the later hints', () => later.includes('routing') && later.includes('nodes'));
        expect(hints).toEqual(['leader', 'nodes']);
      });

      test('after connections were cut, links say so, every topic is hinted, and hints go on', async () => {
        const [store] = await open(1);
        const hints: Topic[] = [];
        const links: StoreLink[] = [];
        await store.watch(['routing', 'assignments'], (topic) => hints.push(topic));
        const stopLinks = store.onLink((link) => links.push(link));
        hints.length = 0;
        const raw = await rig.rawClient();
        await raw.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
        await raw.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await until('the link is back', () => links.at(-1) === 'connected');
        expect(links).toEqual(['lost', 'connected']);
        await until('all hints', () => hints.includes('routing') && hints.includes('assignments'));
        stopLinks();
        hints.length = 0;
        const leadership = await lead(store);
        await store.publishRouting(leadership, routingTable(leadership, 1));
        await until('the next hint', () => hints.includes('routing'));
      });
    });

    test('data of another schema version is refused, naming both', async () => {
      const raw = await rig.rawClient();
      await raw.set(storeKeys('other-schema').schema(), '77');
      await expect(rig.connect({ prefix: 'other-schema' })).rejects.toMatchObject({
        code: 'STORE_SCHEMA',
        message: expect.stringMatching(/77.*has 1/),
      });
    });

    test.each([
      ['a wrong password', 'wrong'],
      ['no password', undefined],
    ])('%s is refused at once, saying what to do', async (_name, password) => {
      const { password: _right, ...rest } = rig.storeOptions();
      const options = password === undefined ? rest : { ...rest, password: () => password };
      await expect(connectStore({ ...options, mayBeLost: true })).rejects.toMatchObject({
        code: 'STORE_AUTH',
        message: expect.stringContaining('--token-file'),
      });
    });

    test('a value that is no JSON is named', async () => {
      const [store, prefix] = await open(1);
      const raw = await rig.rawClient();
      await raw.set(storeKeys(prefix).routing(), '{');
      await expect(store.readRouting()).rejects.toMatchObject({
        code: 'STORE_REPLY',
        message: expect.stringContaining(storeKeys(prefix).routing()),
      });
    });
  });
});
