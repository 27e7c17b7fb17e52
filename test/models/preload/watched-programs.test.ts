import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BarrierWorld, LIBRARY, openBarrierWorld, type RunOptions } from './barrier-world.ts';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const NAME = 'w.bin';
const SIZE = 300_001;
const NOBODY = 65_534;
const tools = mkdtempSync(join(tmpdir(), 'modelserve-static-'));
const STATIC = join(tools, 'opener');
const GO = join(tools, 'go');

/** Whether programs can be linked statically here; says so where not. */
const canLink = ((): boolean => {
  if (LIBRARY === null) return false;
  const compile = (...flags: readonly string[]) =>
    spawnSync('cc', [...flags, join(FIXTURES, 'opener.c'), '-lpthread'], { stdio: 'ignore' });
  compile('-DWITH_GO_NOTE', '-o', GO);
  const { status } = compile('-static', '-o', STATIC);
  if (status !== 0)
    process.stderr.write('skipped: static programs: cc links none here (libc.a is missing)\n');
  return status === 0;
})();

/** Runs what reads the world's file, which must wait for its bytes. @returns what it wrote */
async function readBy(
  world: BarrierWorld,
  [command, ...args]: readonly string[],
  options: RunOptions = {},
): Promise<Buffer> {
  const run = world.run(command ?? '', args, { cwd: world.folder, ...options });
  await expect.poll(() => world.wanted, { timeout: 20_000 }).toContain(NAME);
  expect([run.isOver(), run.output().length]).toEqual([false, 0]);
  await world.complete(NAME);
  const { code, stdout, stderr } = await run.ended;
  expect([code, stderr]).toEqual([0, '']);
  return stdout;
}

beforeAll(() => chmodSync(tools, 0o755));
afterAll(() => rmSync(tools, { recursive: true, force: true }));

const python = (script: string): readonly string[] => ['python3', '-c', `import os, subprocess\n${script}`];
const node = (script: string): readonly string[] => [process.execPath, '-e', script];
const STARTED_BY: readonly (readonly [string, readonly string[]])[] = [
  ['a shell', ['bash', '-c', `${STATIC} open w.bin; true`]],
  ['a shell that finds it on PATH', ['bash', '-c', `PATH=${tools}:$PATH; opener fopen w.bin; true`]],
  ['a shell after another folder', ['bash', '-c', `cd /; ${STATIC} open $OLDPWD/../model/w.bin; true`]],
  ['subprocess', python(`subprocess.run(['${STATIC}', 'open', 'w.bin'], check=True)`)],
  ['a script of its own', python(`subprocess.run(['../script', 'w.bin'], check=True)`)],
  [
    'os.posix_spawn',
    python(`os.waitpid(os.posix_spawn('${STATIC}', ['o', 'open', 'w.bin'], os.environ), 0)`),
  ],
  ['os.execl', python(`os.execl('${STATIC}', 'opener', 'threads', 'w.bin')`)],
  ['a shell, which looks like one of Go', ['bash', '-c', `${GO} 'own system call' w.bin; true`]],
  ['os.system', python(`os.system('${STATIC} openat w.bin')`)],
  ['child_process', node(`child_process.execFileSync('${STATIC}', ['open', 'w.bin'], {stdio: 'inherit'})`)],
  ['another static one', ['bash', '-c', `${STATIC} run ${STATIC} open w.bin; true`]],
  ['a shell, and opens what it has open', ['bash', '-c', `${STATIC} O_PATH w.bin; true`]],
];
const WITHOUT_VARIABLES: readonly (readonly [string, readonly string[]])[] = [
  ['env -i', ['env', '-i', '/bin/cat', 'w.bin']],
  ['env -i with a shell', ['env', '-i', '/bin/sh', '-c', '/bin/cat w.bin | /bin/cat; true']],
  ['a shell that has unset one', ['bash', '-c', 'unset LD_PRELOAD; cat w.bin']],
  [
    'subprocess with env',
    python(`subprocess.run(['cat', 'w.bin'], env={'PATH': '/usr/bin:/bin'}, check=True)`),
  ],
  [
    'child_process with env',
    node(`child_process.spawnSync('/bin/cat', ['w.bin'], {env: {}, stdio: 'inherit'})`),
  ],
];

describe.skipIf(!canLink)('a program that does not load the library', () => {
  it.each([...STARTED_BY, ...WITHOUT_VARIABLES])('waits for a file, started by %s', async (_, command) => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    writeFileSync(join(world.folder, '..', 'script'), `#!${STATIC} open\n`, { mode: 0o755 });
    expect((await readBy(world, command)).equals(world.contents.get(NAME)!)).toBe(true);
  });

  it('does not wait for what it does not open, and is as it was for who started it', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    writeFileSync(world.path('there'), 'there');
    const script = `
child = subprocess.Popen(['${STATIC}', 'open', 'there'], stdout=subprocess.PIPE)
print(child.stdout.read().decode(), child.wait())
print(subprocess.run(['${STATIC}', 'open', 'none']).returncode, os.stat('w.bin').st_size)
try: subprocess.run(['${tools}', 'open', 'there'])
except PermissionError: print('refused')
try: os.wait()
except ChildProcessError: print('no other child')`;
    const { stdout, stderr } = await world.run(...words(python(script)), { cwd: world.folder }).ended;
    expect([stdout.toString(), stderr]).toEqual(['there 0\n2 300001\nrefused\nno other child\n', '']);
    expect(world.wanted).toEqual([]);
  });

  it('gets EIO and the reason where the file cannot be had, and when nobody answers', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    world.fail(NAME, 'oss://b/w.bin: the server answers 403');
    const command: readonly string[] = ['bash', '-c', `${STATIC} open w.bin; exit $?`];
    const refused = await world.run(...words(command), { cwd: world.folder }).ended;
    expect([refused.code, refused.stdout.length]).toEqual([5, 0]);
    expect(refused.stderr).toContain('w.bin cannot be read: oss://b/w.bin: the server answers 403');
    const again = world.run('bash', ['-c', `read; ${STATIC} open w.bin`], { cwd: world.folder });
    rmSync(join(world.folder, '..', 'socket'));
    writeFileSync(join(world.folder, '..', 'socket'), ''); // a loader that was killed leaves its socket
    again.write('\n');
    const late = await again.ended;
    expect([late.code, late.stdout.length]).toEqual([5, 0]);
    expect(late.stderr).toContain('nothing fetches it: the loader has ended');
  });

  it('is started as any other once all files are there', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const script = 'cat w.bin | wc -c; env -i /bin/grep Seccomp: /proc/self/status';
    const run = world.run('bash', ['-c', script], { cwd: world.folder });
    await expect.poll(() => world.wanted, { timeout: 20_000 }).toEqual([NAME]);
    await world.complete(NAME);
    expect((await run.ended).stdout.toString()).toBe(`${SIZE}\nSeccomp:\t0\n`);
  });

  it('begins when all files are there where nothing could watch it', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const library = join(world.folder, '..', 'libmodelserve_preload.so'); // and no guard beside it
    copyFileSync(LIBRARY ?? '', library);
    const script = `${STATIC} open /dev/null && ${STATIC} open w.bin`;
    const found = await readBy(world, ['bash', '-c', script], { library });
    expect(found.equals(world.contents.get(NAME)!)).toBe(true);
  });

  it.skipIf(process.getuid?.() !== 0)('waits where nobody has rights, and if it is to get some', async () => {
    const world = await openBarrierWorld({ [NAME]: SIZE });
    const folder = dirname(world.folder);
    for (const path of [folder, world.folder, join(folder, 'socket'), ...[LIBRARY ?? '']])
      chmodSync(path, 0o755);
    chownSync(join(folder, 'socket'), NOBODY, NOBODY);
    const other = join(tools, 'cat');
    copyFileSync('/bin/cat', other);
    chownSync(other, 1, 1);
    chmodSync(other, 0o4755);
    const user = ['setpriv', `--reuid=${NOBODY}`, '--clear-groups', `--regid=${NOBODY}`, 'bash', '-c'];
    const found = await readBy(world, [...user, `${STATIC} open w.bin; ${other} w.bin`]);
    expect(found.equals(Buffer.concat([world.contents.get(NAME)!, world.contents.get(NAME)!]))).toBe(true);
    const late = await openBarrierWorld({ [NAME]: SIZE });
    for (const path of [dirname(late.folder), late.folder]) chmodSync(path, 0o755);
    chownSync(join(late.folder, '..', 'socket'), NOBODY, NOBODY);
    expect((await readBy(late, [...user, `${other} w.bin`])).equals(late.contents.get(NAME)!)).toBe(true);
  });
});

function words([command = '', ...args]: readonly string[]): [string, readonly string[]] {
  return [command, args];
}
