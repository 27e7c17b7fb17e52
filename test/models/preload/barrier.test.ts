import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BarrierWorld, LIBRARY, openBarrierWorld, type Run } from './barrier-world.ts';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const NAME = 'w.bin';
const SIZE = 300_001;
const tools = mkdtempSync(join(tmpdir(), 'modelserve-opener-'));
const OPENER = join(tools, 'opener');

/** Opens the world's file in some way, which must wait until it has its bytes. @returns what the program wrote */
async function seenThrough(world: BarrierWorld, run: Run): Promise<Buffer> {
  await expect.poll(() => world.wanted, { timeout: 20_000 }).toContain(NAME);
  expect([run.isOver(), run.output().length]).toEqual([false, 0]);
  await world.complete(NAME);
  const { code, stdout, stderr } = await run.ended;
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

beforeAll(() => {
  if (LIBRARY !== null) execFileSync('cc', ['-O1', '-o', OPENER, join(FIXTURES, 'opener.c'), '-lpthread']);
});
afterAll(() => rmSync(tools, { recursive: true, force: true }));

describe.skipIf(LIBRARY === null)('opening a file that is not there yet', () => {
  it.each([
    ...['open', 'open for both', 'open64', 'openat', 'openat64', 'O_PATH', 'mmap', 'threads'],
    ...['__open_2', '__open64_2', '__openat_2', '__openat64_2'],
    ...['fopen', 'fopen64', 'freopen', 'freopen64', 'fdopen'],
    'open under signals',
  ])('waits in a C program: %s', async (how) => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const output = await seenThrough(world, world.run(OPENER, [how, world.path(NAME)]));
    expect(output.equals(world.contents.get(NAME)!)).toBe(true);
  });

  it.each<[string, string]>([
    ['cat', 'cat w.bin'],
    ['dd', 'dd if=w.bin bs=7k status=none'],
    ['a redirection of the shell', 'cat < w.bin'],
    ['cp', 'cp w.bin ../copy && cat ../copy'],
    ['a path with ..', 'cat deep/../../model/w.bin'],
    ['a hard link elsewhere', 'ln w.bin ../linked && cat ../linked'],
    ['a link', 'ln -s model/w.bin ../link && cat ../link'],
    ['a process of a process', `sh -c 'sh -c "cat w.bin; true"; true'`],
  ])('waits in the shell: %s', async (_, script) => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    mkdirSync(world.path('deep'));
    const run = world.run('bash', ['-c', script], { cwd: world.folder });
    expect((await seenThrough(world, run)).equals(world.contents.get(NAME)!)).toBe(true);
  });

  it('control: without the library there are zeros', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const { stdout } = await world.run('cat', [world.path(NAME)], { withoutLibrary: true }).ended;
    expect(stdout.equals(Buffer.alloc(SIZE))).toBe(true);
    expect(world.wanted).toEqual([]);
  });

  it('does not wait for what is known without its bytes', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const script = 'stat -c %s w.bin; ls; test -r w.bin && find . -name "w*"; realpath --relative-to . w.bin';
    const { stdout } = await world.run('bash', ['-c', script], { cwd: world.folder }).ended;
    expect(stdout.toString()).toBe(`${SIZE}\nw.bin\n./w.bin\nw.bin\n`);
    expect(world.wanted).toEqual([]);
  });

  it('fails with EIO and the reason when the file cannot be had', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    for (const how of ['open', 'fopen', 'freopen', 'openat']) {
      const run = world.run(OPENER, [how, world.path(NAME)]);
      world.fail(NAME, 'oss://b/w.bin: the server answers 403');
      const { code, stdout, stderr } = await run.ended;
      expect([how, code, stdout.length]).toEqual([how, 5, 0]);
      expect(stderr).toContain(`${world.path(NAME)} cannot be read: oss://b/w.bin: the server answers 403`);
    }
  });

  it('fails with EIO when nobody answers, also in the middle of waiting', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const waiting = world.run(OPENER, ['open', world.path(NAME)]);
    await expect.poll(() => world.wanted).toEqual([NAME]);
    await world.server.stop();
    expect(await waiting.ended).toMatchObject({ code: 5, stdout: Buffer.alloc(0) });
    const late = await world.run(OPENER, ['fopen', world.path(NAME)]).ended;
    expect([late.code, late.stdout.length]).toEqual([5, 0]);
    expect(late.stderr).toContain('nothing fetches it: the loader has ended');
  });

  it('opens a file that was completed while its server ended', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const waiting = world.run(OPENER, ['open', world.path(NAME)]);
    await expect.poll(() => world.wanted).toEqual([NAME]);
    const server = world.server.stop();
    await world.complete(NAME);
    await server;
    const { code, stdout } = await waiting.ended;
    // Which of the two came first is up to the kernel; zeros never come.
    expect(code === 5 ? stdout.length === 0 : stdout.equals(world.contents.get(NAME)!)).toBe(true);
  });

  it('refuses placeholders of the folder that nobody knows, and leaves others with a sticky bit alone', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    writeFileSync(world.path('stale'), 'x');
    writeFileSync(join(world.folder, '..', 'foreign'), 'foreign');
    spawnSync('chmod', ['+t', world.path('stale'), join(world.folder, '..', 'foreign')]);
    expect(await world.run(OPENER, ['open', world.path('stale')]).ended).toMatchObject({ code: 5 });
    const { code, stdout } = await world.run('cat', [join(world.folder, '..', 'foreign')]).ended;
    expect([code, stdout.toString()]).toEqual([0, 'foreign']);
  });

  it('needs no server where only MODEL_DIR is known: then nothing that is not there can be opened', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    symlinkSync(world.folder, join(dirname(world.folder), 'link'));
    const env = { LD_PRELOAD: LIBRARY ?? '', MODEL_DIR: join(dirname(world.folder), 'link') };
    const { code } = await world.run(OPENER, ['open', world.path(NAME)], { withoutLibrary: true, env }).ended;
    expect(code).toBe(5);
  });

  it('says hello for each process that has it', async () => {
    const world = await openBarrierWorld({ [NAME]: 0 });
    // not bash, which reads ~/.bashrc where its standard input is a socket
    const run = world.run('sh', ['-c', 'cat /dev/null; true']);
    await run.ended;
    await expect.poll(() => world.hellos.length).toBe(2);
    expect(world.hellos).toContain(run.pid);
  });
});
