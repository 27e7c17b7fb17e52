import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../src/lib/ports.ts';
import { identityOf, isRunning } from '../../../src/lib/process/identity.ts';
import { createRedis } from '../../../src/store/redis-client.ts';
import { probe } from '../../../src/store/server/probe.ts';
import { REAL_PROGRAM, ServerRig, until, VARIANTS } from '../harness.ts';

const REAL = VARIANTS.find(({ searchPath }) => searchPath !== '');

describe.skipIf(REAL === undefined || REAL.missing)('a managed server', () => {
  const rigs: ServerRig[] = [];

  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig.dispose();
  });

  async function prepare(): Promise<ServerRig> {
    const rig = await ServerRig.prepare(REAL?.searchPath ?? '');
    rigs.push(rig);
    return rig;
  }

  async function start(): Promise<ServerRig> {
    const rig = await prepare();
    rig.server = await rig.startServer();
    return rig;
  }

  test('is on record, and keeps the password out of its arguments, in a file for its owner only', async () => {
    const rig = await start();
    expect(rig.server.kind).toMatch(/^(redis|valkey)$/);
    expect(rig.server.url).toBe(`redis://127.0.0.1:${rig.port}`);
    expect(rig.server.description).toContain('--redis URL');
    const record: unknown = JSON.parse(readFileSync(join(rig.paths.processes, 'store.json'), 'utf8'));
    expect(record).toEqual({ host: '127.0.0.1', port: rig.port, ...identityOf(rig.server.pid ?? 0) });
    const commandLine = readFileSync(`/proc/${rig.server.pid}/cmdline`, 'utf8');
    expect(commandLine).not.toContain('password');
    const config = join(rig.paths.store, 'server.conf');
    expect(statSync(config).mode & 0o777).toBe(0o600);
    const text = readFileSync(config, 'utf8');
    expect(text).toMatch(/^user default on #[0-9a-f]{64} /m);
    expect(text).not.toContain(rig.password);
  });

  test('stop ends its process, however often it is called', async () => {
    const rig = await start();
    const identity = identityOf(rig.server.pid ?? 0);
    if (identity === null) throw new Error('it does not run');
    await Promise.all([rig.server.stop(), rig.server.stop()]);
    expect(isRunning(identity)).toBe(false);
    expect(rig.events).toEqual([]);
  });

  test('kept for the next head, it is adopted: same process, same data', async () => {
    const rig = await start();
    const { pid } = rig.server;
    await (await rig.rawClient()).set('mark', 'here');
    await rig.server.stop({ keep: true });
    const next = await rig.startServer();
    expect(next.pid).toBe(pid);
    expect(next.kind).toBe(rig.server.kind);
    expect(await (await rig.rawClient()).get('mark')).toBe('here');
  });

  test('without its record it is adopted all the same: the handshake decides', async () => {
    const rig = await start();
    const { pid } = rig.server;
    await rig.server.stop({ keep: true });
    await rm(join(rig.paths.processes, 'store.json'));
    expect((await rig.startServer()).pid).toBe(pid);
  });

  test.each(['its own', 'an adopted'])('killed, %s process is started again with its data', async (whose) => {
    const rig = await start();
    let { server } = rig;
    if (whose === 'an adopted') {
      await server.stop({ keep: true });
      server = await rig.startServer();
    }
    const { pid } = server;
    await (await rig.rawClient()).set('mark', 'here');
    process.kill(pid ?? expect.fail('no process to end'), 'SIGKILL');
    await until('another process', () => server.pid !== null && server.pid !== pid);
    expect(await (await rig.rawClient()).get('mark')).toBe('here');
    expect(rig.events.map(({ type }) => type)).toEqual(['ended', 'started']);
  });

  test('on another port than before, it is started anew on its data', async () => {
    const rig = await start();
    const { pid } = rig.server;
    const before = identityOf(pid ?? 0);
    await (await rig.rawClient()).set('mark', 'here');
    await rig.server.stop({ keep: true });
    const port = await freePort('127.0.0.1');
    const moved = await rig.startServer({ port });
    expect(moved.url).toBe(`redis://127.0.0.1:${port}`);
    expect(before === null || isRunning(before)).toBe(false);
    const redis = createRedis({ url: moved.url, password: () => rig.password, commandTimeoutMs: 5_000 });
    await redis.connect();
    expect(await redis.get('mark')).toBe('here');
    redis.disconnect();
  });

  test('a port taken by another program names it', async () => {
    const rig = await prepare();
    const other = createServer((socket) => socket.resume());
    await new Promise<void>((resolve) => other.listen(rig.port, '127.0.0.1', resolve));
    try {
      await expect(rig.startServer()).rejects.toMatchObject({
        code: 'STORE_PORT_TAKEN',
        message: expect.stringContaining(`(pid ${process.pid})`),
      });
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  test('a server of somebody else on the port is left alone, even with the same password', async () => {
    const rig = await prepare();
    const foreign = spawn(
      REAL_PROGRAM,
      ['--port', String(rig.port), '--dir', rig.root, '--save', '', '--requirepass', 'other'],
      { stdio: 'ignore' },
    );
    const url = `redis://127.0.0.1:${rig.port}`;
    await until('the other server', async () => (await probe(url, ['other'])).state === 'open');
    try {
      await expect(rig.startServer()).rejects.toMatchObject({ code: 'STORE_PORT_TAKEN' });
      await expect(rig.startServer({ passwords: () => ['other'] })).rejects.toMatchObject({
        code: 'STORE_PORT_TAKEN',
        message: expect.stringContaining(`-server (pid ${foreign.pid})`),
      });
    } finally {
      const exited = new Promise((resolve) => foreign.once('exit', resolve));
      foreign.kill('SIGKILL');
      await exited;
    }
  });

  test('one that cannot start tells its log', async () => {
    const rig = await prepare();
    await mkdir(join(rig.root, 'bin'));
    await writeFile(join(rig.root, 'bin', 'valkey-server'), '#!/bin/sh\necho no such luck\nexit 3\n', {
      mode: 0o755,
    });
    await expect(rig.startServer({ searchPath: join(rig.root, 'bin') })).rejects.toMatchObject({
      code: 'STORE_START',
      message: expect.stringMatching(/code 3.*no such luck/s),
    });
  });

  test('given a server of the user, nothing is started', async () => {
    const rig = await prepare();
    const server = await rig.startServer({ externalUrl: 'redis://u:secret@example.org:6379' });
    expect(server).toMatchObject({ kind: 'external', pid: null, url: 'redis://example.org:6379' });
    expect(server.description).not.toContain('secret');
  });
});
