import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createApplyQueue } from '../../src/store/apply-queue.ts';
import type { StoreLink } from '../../src/store/types.ts';
import { ServerRig, until, VARIANTS } from './harness.ts';

describe.each(VARIANTS)('passwords of $name', ({ searchPath, missing }) => {
  describe.skipIf(missing)('that are replaced', () => {
    const rigs: ServerRig[] = [];

    afterEach(async () => {
      for (const rig of rigs.splice(0)) await rig.dispose();
    });

    test('are followed by clients; the old one is refused, and cut where it is in use', async () => {
      const rig = await ServerRig.prepare(searchPath);
      rigs.push(rig);
      let taken: readonly [string, ...string[]] = ['old'];
      const server = await rig.startServer({ passwords: () => taken });
      let shown = 'old';
      const store = await rig.connect({ password: () => shown });
      const hints: string[] = [];
      const links: StoreLink[] = [];
      await store.watch(['routing'], (topic) => hints.push(topic));
      store.onLink((link) => links.push(link));
      const queue = createApplyQueue<string, string>(rig.storeOptions({ password: () => shown }));
      await queue.process(async (job) => `did ${job}`);
      expect(await queue.submit('one', 5_000)).toBe('did one');
      const stranger = await rig.connect({ password: () => 'old' });

      const use = async (...passwords: readonly [string, ...string[]]): Promise<void> => {
        taken = passwords;
        await server.usePasswords(passwords);
      };
      await use('old', 'new');
      for (const password of taken) await (await rig.connect({ password: () => password })).close();
      shown = 'new';
      await use('new', 'old');
      expect(links).toEqual([]);
      await use('new');
      await until('the stranger is cut', () => stranger.link === 'lost');
      await until('the other is back', () => links.length > 0 && store.link === 'connected');
      await expect(rig.connect({ password: () => 'old' })).rejects.toMatchObject({ code: 'STORE_AUTH' });
      await until('hints are heard', async () => {
        await store.publishIngress({ nodeId: 'n', incarnation: '', routingVersion: 1 });
        return hints.includes('routing');
      });
      await until('the queue works', async () =>
        queue.submit('two', 1_000).then(
          (said) => said === 'did two',
          () => false,
        ),
      );
      await queue.close();
      expect(stranger.link).toBe('lost');
    });

    test('hold over a restart of it, and over that of its head at any moment', async () => {
      const rig = await ServerRig.prepare(searchPath);
      rigs.push(rig);
      const server = await rig.startServer({ passwords: () => ['old'] });
      await server.usePasswords(['old', 'new']);
      await server.stop({ keep: true });
      const adopted = await rig.startServer({ passwords: () => ['new', 'old'] });
      await (await rig.connect({ password: () => 'old' })).close();
      await adopted.stop({ keep: true });
      const last = await rig.startServer({ passwords: () => ['new'] });
      await expect(rig.connect({ password: () => 'old' })).rejects.toMatchObject({ code: 'STORE_AUTH' });
      const store = await rig.connect({ password: () => 'new' });
      if (last.pid === null) return; // it is a thread of this process
      process.kill(last.pid, 'SIGKILL');
      await until('it is started again', () => last.pid !== null && store.link === 'connected');
      await expect(rig.connect({ password: () => 'old' })).rejects.toMatchObject({ code: 'STORE_AUTH' });
    });

    test('what was deleted does not stay on the disk', async () => {
      const rig = await ServerRig.prepare(searchPath);
      rigs.push(rig);
      const server = await rig.startServer();
      if (server.pid === null) return; // its snapshot holds what there is
      const redis = await rig.rawClient();
      await redis.set('key', 'a word that shall go');
      await redis.del('key');
      const folder = join(rig.paths.store, server.kind);
      const onDisk = (): boolean =>
        readdirSync(folder, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .some((entry) => readFileSync(join(entry.parentPath, entry.name)).includes('a word that shall go'));
      await until('it is on the disk', onDisk);
      await server.compact();
      await until('it is gone', () => !onDisk());
    });
  });
});
