import { readdirSync, realpathSync, statSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { silentLog } from '../../../src/lib/log.ts';
import { BarrierServer } from '../../../src/models/preload/barrier-server.ts';
import {
  finishPlaceholder,
  isPlaceholder,
  makePlaceholder,
} from '../../../src/models/preload/placeholder.ts';
import { preloadVariables } from '../../../src/models/preload/preload-variables.ts';
import { tempDir } from '../../support/temp-dir.ts';

/** What the server answers until it ends the connection. */
async function ask(socketPath: string, question: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => socket.write(question));
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      answer += text;
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

async function open(whenFile: (path: string, signal: AbortSignal) => Promise<void>) {
  const dir = realpathSync(tempDir());
  const socketPath = join(dir, 'socket');
  const told: string[] = [];
  const server = new BarrierServer(
    {
      ...{ socketPath, log: silentLog },
      onHello: (pid) => void told.push(`hello ${pid}`),
      onJoin: (pid) => void told.push(`join ${pid}`),
    },
    { whenFile },
  );
  await server.start();
  onTestFinished(async () => await server.stop());
  const path = join(dir, 'deep', 'w.bin');
  await makePlaceholder(path, 100);
  await server.protect(path);
  const { dev, ino } = statSync(path, { bigint: true });
  return { server, socketPath, told, path, question: `O ${dev} ${ino}\n` };
}

describe('the server that answers whoever opens a placeholder', () => {
  it('answers when the file is whole, that it is none of its own, or why it cannot be had', async () => {
    let why: Error | null = null;
    const { socketPath, question } = await open(async () => {
      if (why !== null) throw why;
    });
    expect(await ask(socketPath, question)).toBe('OK\n');
    expect(await ask(socketPath, 'O 1 2\n')).toBe('NO\n');
    why = new Error('the server answers 403\nAccessDenied');
    expect(await ask(socketPath, question)).toBe('E the server answers 403 AccessDenied\n');
  });

  it('hears of processes, answers no nonsense, and keeps its socket to itself', async () => {
    const { socketPath, told } = await open(async () => undefined);
    expect(await ask(socketPath, 'H 12\n')).toBe('');
    expect(await ask(socketPath, 'M 34\n')).toBe('OK\n');
    expect(await ask(socketPath, 'X\n')).toBe('');
    expect(await ask(socketPath, 'O'.repeat(1000))).toBe('');
    expect(told).toEqual(['hello 12', 'join 34']);
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  });

  it('knows what is not there yet, and nothing of what is', async () => {
    const wanted: string[] = [];
    let fails = true;
    const { server, socketPath, path, question } = await open(async (name) => {
      wanted.push(name);
      if (fails) throw new Error('the disk is full');
    });
    const second = join(path, '..', 'v.bin');
    await makePlaceholder(second, 1);
    await server.protect(second, path); // in place of the first, under its name
    expect(await ask(socketPath, question)).toBe('NO\n');
    expect(await ask(socketPath, 'P\n')).toBe('NO\n');
    expect(await ask(socketPath, 'W\n')).toBe('E the disk is full\n');
    fails = false;
    expect([await ask(socketPath, 'W\n'), wanted]).toEqual(['OK\n', [path, path]]);
    server.forget(path);
    expect([await ask(socketPath, 'P\n'), await ask(socketPath, 'W\n')]).toEqual(['OK\n', 'OK\n']);
    const { dev, ino } = statSync(second, { bigint: true });
    expect(await ask(socketPath, `O ${dev} ${ino}\n`)).toBe('NO\n');
  });

  it('ends the wait of who has gone, and all waits when it stops', async () => {
    const gone: unknown[] = [];
    const waits: (() => void)[] = [];
    const { server, socketPath, question } = await open(
      async (_, signal) =>
        await new Promise((resolve) => {
          waits.push(resolve);
          signal.addEventListener('abort', () => {
            gone.push('gone');
            resolve();
          });
        }),
    );
    const leaver = createConnection(socketPath, () => leaver.write(question));
    await expect.poll(() => waits.length).toBe(1);
    leaver.destroy();
    await expect.poll(() => gone).toEqual(['gone']);
    const waiting = ask(socketPath, question);
    await expect.poll(() => waits.length).toBe(2);
    await server.stop();
    expect(await waiting).toBe('');
    await expect(ask(socketPath, question)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  });

  it('refuses a socket whose path is too long for one', async () => {
    const socketPath = join(tempDir(), 'x'.repeat(100));
    const server = new BarrierServer({ socketPath, log: silentLog }, { whenFile: async () => undefined });
    await expect(server.start()).rejects.toThrow('at most 107 bytes');
  });
});

describe('a placeholder', () => {
  it('has its size, no bytes, and a mark that goes when it is finished', async () => {
    const path = join(tempDir(), 'a', 'b.bin');
    expect(await isPlaceholder(path)).toBe(false);
    await makePlaceholder(path, 5_000_000_000);
    expect(statSync(path)).toMatchObject({ size: 5_000_000_000, blocks: 0 });
    expect(await isPlaceholder(path)).toBe(true);
    await finishPlaceholder(path);
    expect([await isPlaceholder(path), statSync(path).mode & 0o7777]).toEqual([false, 0o644]);
    await expect(makePlaceholder(path, 1)).rejects.toThrow('EEXIST');
    expect(readdirSync(join(path, '..'))).toEqual(['b.bin']);
  });
});

describe('the variables of a program that waits', () => {
  it.each([
    [undefined, '/l.so'],
    ['', '/l.so'],
    ['/jemalloc.so', '/jemalloc.so:/l.so'],
    ['/a.so /b.so:/l.so', '/a.so:/b.so:/l.so'],
  ])('keep what is preloaded: %s', (before, expected) => {
    const place = { library: '/l.so', socketPath: '/s', folders: ['/m', '/n'] };
    expect(preloadVariables(place, before)).toEqual({
      LD_PRELOAD: expected,
      MODELSERVE_PRELOAD_SOCKET: '/s',
      MODELSERVE_PRELOAD_DIRS: '/m:/n',
    });
  });
});
