import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestHead } from './support/cluster.ts';
import { type Load, steadyLoad } from './support/load.ts';
import { processesWith } from './support/processes.ts';
import { echoSource, Project } from './support/project.ts';
import { hasRedis, pathWithoutStore } from './support/stores.ts';
import { until } from './support/until.ts';

const section = { backend: 'Backend', route: 'echo', replicas: 2, min_ready_s: 0.5 };

// One load runs through all of it, from 20 connections; not one request may fail.
describe.each([...(hasRedis ? ['redis'] : []), 'embedded'])(
  'what dies while a cluster serves, on %s',
  (store) => {
    const project = new Project();
    const bare = pathWithoutStore();
    let head: TestHead;
    let load: Load;

    beforeAll(async () => {
      project.package('Echo', echoSource({ workS: 0.005 }));
      project.sections({ Echo: section });
      head = await TestHead.start({
        conf: project.conf,
        env: store === 'embedded' ? { PATH: bare.path } : {},
      });
      load = steadyLoad(head.url('echo'));
      await load.more(100);
    });

    afterAll(async () => {
      const outcome = await load?.stop();
      await head?.dispose();
      project.remove();
      bare.remove();
      expect(outcome?.failures.slice(0, 5)).toEqual([]);
      expect(processesWith(head?.stateDir ?? 'no head')).toEqual([]);
    });

    async function pids(): Promise<readonly (number | null)[]> {
      const replicas = (await head.status()).deployments[0]?.replicas ?? [];
      return replicas.every((one) => one.phase === 'ready') ? replicas.map((one) => one.pid).sort() : [];
    }

    it('uses the store that it says it uses', async () => {
      expect((await head.status()).store).toMatchObject({
        ok: true,
        kind: store === 'redis' ? 'redis' : 'embedded-valkey',
      });
    });

    it('replaces a killed replica', async () => {
      const [victim] = await pids();
      process.kill(victim ?? expect.fail('no process to end'), 'SIGKILL');
      await until('a replacement', async () => {
        const now = await pids();
        return now.length === 2 && !now.includes(victim ?? 0);
      });
      await load.more(100);
      expect(load.failures().slice(0, 5)).toEqual([]);
    });

    it('restarts a killed ingress at once and adopts nothing twice', async () => {
      const [ingress] = processesWith(`${head.stateDir}`).filter(({ command }) =>
        command.includes('ingress-main'),
      );
      expect(ingress).toBeDefined();
      const before = await pids();
      await load.stop(); // connections of a killed ingress break: that is what this test does not count
      process.kill(ingress?.pid ?? expect.fail('no process to end'), 'SIGKILL');
      await until(
        'the ingress to answer again',
        async () => (await fetch(head.url('echo'), { method: 'POST', body: '{}' })).status === 200,
      );
      expect(await pids()).toEqual(before);
      load = steadyLoad(head.url('echo'));
      await load.more(100);
    });

    it('goes on while the node process is dead, adopts when it is back, and takes changes', async () => {
      const before = await pids();
      head.signal('SIGKILL');
      await head.ended();
      await load.more(300);
      head.output = '';
      head.launch();
      await head.says(/^ready\b/im);
      expect(await pids()).toEqual(before);
      project.sections({ Echo: { ...section, replicas: 3 } });
      const changed = await head.apply();
      expect(changed, changed.stderr).toMatchObject({ code: 0 });
      expect(await pids()).toHaveLength(3);
      expect(await pids()).toEqual(expect.arrayContaining([...before]));
      expect(load.failures().slice(0, 5)).toEqual([]);
    });

    // The embedded store lives in the node process: it was killed with it above.
    if (store === 'embedded') return;
    it('goes on when the store is killed, which comes back by itself', async () => {
      const before = await pids();
      const [redis] = processesWith(`redis-server 127.0.0.1:${head.storePort}`);
      process.kill(redis?.pid ?? expect.fail('no process to end'), 'SIGKILL');
      await until(
        'another store process',
        () => processesWith(`redis-server 127.0.0.1:${head.storePort}`)[0]?.pid !== redis?.pid,
      );
      await load.more(200);
      await until('the store to be ok', async () => (await head.status()).store.ok);
      expect(await pids()).toEqual(before);
      project.sections({ Echo: { ...section, replicas: 3, user_config: '{"after": "store"}' } });
      expect(await head.apply()).toMatchObject({ code: 0 });
      expect(await pids()).toEqual(before);
    });
  },
);
