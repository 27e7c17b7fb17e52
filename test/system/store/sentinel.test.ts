import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../../src/lib/ports.ts';
import { createRedis } from '../../../src/store/redis-client.ts';
import { connectStore } from '../../../src/store/redis-store.ts';
import { probe } from '../../../src/store/server/probe.ts';
import type { Store, Topic } from '../../../src/store/types.ts';
import { REAL_PROGRAM, until } from '../../store/harness.ts';
import { routingTable } from '../../store/records.ts';

describe.skipIf(REAL_PROGRAM === '')('a store behind Redis Sentinel', () => {
  const children: ChildProcess[] = [];
  let folder: string;
  let masterPort: number;
  let store: Store | null = null;
  let url: string;

  function run(...args: readonly string[]): void {
    children.push(spawn(REAL_PROGRAM, args, { cwd: folder, stdio: 'ignore' }));
  }

  async function ask(
    port: number,
    password: string,
    ...words: readonly [string, ...string[]]
  ): Promise<string> {
    const target = { url: `redis://127.0.0.1:${port}`, commandTimeoutMs: 1_000 };
    const redis = createRedis(password === '' ? target : { ...target, password: () => password });
    try {
      await redis.connect();
      return String(await redis.call(...words));
    } catch {
      return '';
    } finally {
      redis.disconnect();
    }
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'modelserve-sentinel-'));
    masterPort = await freePort('127.0.0.1');
    const replicaPort = await freePort('127.0.0.1');
    const sentinelPort = await freePort('127.0.0.1');
    const common = ['--bind', '127.0.0.1', '--save', '', '--requirepass', 'secret', '--masterauth', 'secret'];
    run('--port', String(masterPort), ...common);
    run('--port', String(replicaPort), ...common, '--replicaof', '127.0.0.1', String(masterPort));
    for (const port of [masterPort, replicaPort]) {
      await until(`redis on ${port}`, async () => {
        return (await probe(`redis://127.0.0.1:${port}`, ['secret'])).state === 'open';
      });
    }
    // Sentinel fails over only to a replica that it has seen, and it looks every 10 s: it shall see it at once.
    await until('the replica follows', async () => {
      return (await ask(masterPort, 'secret', 'INFO', 'replication')).includes('state=online');
    });
    const config = join(folder, 'sentinel.conf');
    const settings = [
      `port ${sentinelPort}`,
      'bind 127.0.0.1',
      `sentinel monitor test 127.0.0.1 ${masterPort} 1`,
      'sentinel auth-pass test secret',
      'sentinel down-after-milliseconds test 500',
      'sentinel failover-timeout test 3000',
    ];
    await writeFile(config, `${settings.join('\n')}\n`);
    run(config, '--sentinel');
    await until('sentinel knows the replica', async () => {
      return (await ask(sentinelPort, '', 'SENTINEL', 'REPLICAS', 'test')).includes(String(replicaPort));
    });
    url = `redis-sentinel://127.0.0.1:${sentinelPort}/test/0`;
  });

  afterAll(async () => {
    await store?.close();
    for (const child of children) {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await exited;
    }
    await rm(folder, { recursive: true, force: true });
  });

  test('follows the master to another machine, whose data is a new incarnation', async () => {
    await until('sentinel answers', async () => {
      store ??= await connectStore({ url, password: () => 'secret' }).catch(() => null);
      return store !== null;
    });
    if (store === null) throw new Error('no store');
    const opened = store;
    const won = await opened.campaign('head-1', { highestEpoch: 0, incarnation: null, writeCount: 0 });
    if (won === null) throw new Error('not won');
    const hints: Topic[] = [];
    await opened.watch(['routing'], (topic) => hints.push(topic));
    hints.length = 0;
    await opened.publishRouting(won, routingTable(won, 1));
    children[0]?.kill('SIGKILL');
    await until('the loss is seen', () => opened.link === 'lost');
    await until('the new master is found', () => opened.link === 'connected', 60_000);
    await until('all is hinted', () => hints.includes('routing'), 10_000);
    expect(await opened.renewLeadership('head-1', won.epoch)).toBe(false);
    const again = await opened.campaign('head-1', {
      highestEpoch: won.epoch,
      incarnation: won.incarnation,
      writeCount: opened.writeCount,
    });
    expect(again?.epoch).toBe(won.epoch + 1);
    expect(again?.incarnation).not.toBe(won.incarnation);
  });
});
