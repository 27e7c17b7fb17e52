import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findByEnvironment } from '../../src/lib/process/find-by-environment.ts';
import { signalProcess } from '../../src/lib/process/signals.ts';
import { LIBRARY, type Run, start } from '../models/preload/barrier-world.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type OssBucket, startOssBucket } from './support/oss-bucket.ts';
import { until } from './support/until.ts';

const MIB = 1024 ** 2;
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const KEY = 'example-model-path/';

interface Machine {
  readonly bucket: OssBucket;
  readonly modelDir: string;
  readonly logDir: string;
  /** runs a program as the documents have it, with MODEL_DIR and all that OSS needs in its environment */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Run;
  /** loaders that work for this machine's model */
  loaders(): readonly number[];
}

async function openMachine(
  objects: Readonly<Record<string, Buffer>>,
  folder: string | null = null,
): Promise<Machine> {
  const dir = tempDir();
  const bucket = await startOssBucket(objects);
  const modelDir = folder ?? join(dir, 'model');
  const config = join(dir, 'config.json');
  const logPaths = { logPath: join(dir, 'connector.log'), auditPath: join(dir, 'audit.log') };
  writeFileSync(
    config,
    JSON.stringify({ logLevel: 0, ...logPaths, prefetch: { vcpus: 1, workers: 1 }, expireTimeSec: 1 }),
  );
  const loaders = (): readonly number[] =>
    findByEnvironment(
      (variables) =>
        variables.has(`MODEL_DIR=${modelDir}`) &&
        [...variables].some((one) => one.startsWith('MODELSERVE_PRELOAD_SERVES=')),
    );
  onTestFinished(async () => {
    for (const pid of loaders()) signalProcess(pid, 'SIGTERM');
    await until('loaders to end', () => loaders().length === 0);
  });
  return {
    ...{ bucket, modelDir, logDir: dir, loaders },
    run: (command, args, env = {}) =>
      start(command, args, {
        env: {
          ...{ LD_PRELOAD: LIBRARY ?? '', ENABLE_CONNECTOR: '1', MODEL_DIR: modelDir },
          ...{ ...bucket.variables, MODELSERVE_CONNECTOR_CONFIG: config, TMPDIR: dir, ...env },
        },
      }),
  };
}

/** Prints `name hash` of each file of its arguments, one after the other. */
const HASHES = `
import hashlib, sys
for path in sys.argv[1:]:
    print(path.rsplit('/', 1)[-1], hashlib.sha256(open(path, 'rb').read()).hexdigest(), flush=True)`;

/** Maps a file, opens it again at a line, which fails, and at the next prints hashes of what is mapped and of what an open finds. */
const KEEPS_OPEN = `
import hashlib, mmap, sys
with open(sys.argv[1], 'rb') as file: mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print('mapped', flush=True)
sys.stdin.readline()
try: open(sys.argv[1], 'rb')
except OSError as error: print('refused', error.errno, flush=True)
sys.stdin.readline()
print(hashlib.sha256(mapped).hexdigest())
print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())`;

describe.skipIf(LIBRARY === null)('a program with LD_PRELOAD, and no cluster', { timeout: 120_000 }, () => {
  it('runs while its model is fetched: small files first, what it opens next, the rest by name', async () => {
    const names = ['a.bin', 'b.bin', 'c.bin', 'config.json', 'deep/tokenizer.json'];
    const objects = Object.fromEntries(
      names.map((name) => [name, randomBytes(name.endsWith('.json') ? 100 : 9 * MIB)]),
    );
    const machine = await openMachine(objects);
    const { bucket, modelDir } = machine;
    for (const name of ['a.bin', 'b.bin', 'c.bin']) bucket.held.add(`${KEY}${name}`);
    const order = ['config.json', 'c.bin', 'b.bin', 'a.bin', 'deep/tokenizer.json'];
    const program = machine.run('python3', ['-c', HASHES, ...order.map((name) => join(modelDir, name))]);
    await until('the first file', () => program.output().toString().startsWith('config.json'));
    expect(readdirSync(modelDir).filter((name) => !name.startsWith('.'))).toEqual([
      'a.bin',
      'b.bin',
      'c.bin',
      'config.json',
      'deep',
    ]);
    expect(statSync(join(modelDir, 'b.bin'))).toMatchObject({ size: 9 * MIB, blocks: 0 });
    for (const name of ['a.bin', 'b.bin', 'c.bin']) bucket.letGo(`${KEY}${name}`);
    const { code, stdout, stderr } = await program.ended;
    expect([code, stderr]).toEqual([0, '']);
    const seen = order.map((name) => `${name.split('/').at(-1)} ${sha(objects[name]!)}\n`).join('');
    expect(stdout.toString()).toBe(seen);
    const asked = bucket.reads.map((line) => line.slice(KEY.length).split(' ')[0]);
    expect(asked).toEqual(
      // One request at a time, of 8 MiB: a.bin had begun before the program opened c.bin.
      ['config.json', 'deep/tokenizer.json', 'a.bin', 'c.bin', 'c.bin', ...asked.slice(5)],
    );
    await until('the loader to end', () => machine.loaders().length === 0);
    expect(statSync(join(modelDir, 'b.bin')).mode & 0o7777).toBe(0o644);
    const audit = readFileSync(join(machine.logDir, 'audit.log'), 'utf8');
    expect(audit).toContain(`"uri":"oss://example-bucket/${KEY}c.bin","range":"0-8388607"`);
    expect(audit + readFileSync(join(machine.logDir, 'connector.log'), 'utf8')).not.toContain('a-secret');
  });

  it('serves whatever the program starts: a shell, Python in it, and what that starts', async () => {
    const weights = randomBytes(9 * MIB);
    const machine = await openMachine({ 'w.bin': weights });
    machine.bucket.held.add(`${KEY}w.bin`);
    const script = `python3 -c 'import subprocess; subprocess.run(["sha256sum", "${machine.modelDir}/w.bin"])'; true`;
    const program = machine.run('bash', ['-c', script]);
    await until('a request', () => machine.bucket.reads.length > 0);
    expect(machine.loaders()).toHaveLength(1); // the processes below start none
    machine.bucket.letGo(`${KEY}w.bin`);
    expect((await program.ended).stdout.toString()).toContain(sha(weights));
  });

  it('takes what an earlier start has left, and fetches what has changed meanwhile', async () => {
    const machine = await openMachine({ 'a.bin': randomBytes(100), 'b.bin': randomBytes(100) });
    const run = async (): Promise<string> =>
      (await machine.run('bash', ['-c', 'cat "$MODEL_DIR"/*.bin | sha256sum']).ended).stdout.toString();
    const both = (): string =>
      sha(Buffer.concat(['a.bin', 'b.bin'].map((name) => machine.bucket.objects.get(KEY + name)!)));
    expect(await run()).toContain(both());
    await until('the loader to end', () => machine.loaders().length === 0);
    machine.bucket.reads.length = 0;
    machine.bucket.objects.set(`${KEY}b.bin`, randomBytes(100));
    expect(await run()).toContain(both());
    expect(machine.bucket.reads).toEqual([`${KEY}b.bin 0-99`]);
  });

  it('gives one loader to two programs with the same folder', async () => {
    const weights = randomBytes(100);
    const machine = await openMachine({ 'w.bin': weights });
    machine.bucket.held.add(`${KEY}w.bin`);
    const programs = [1, 2].map(() => machine.run('sha256sum', [join(machine.modelDir, 'w.bin')]));
    const log = join(machine.logDir, 'connector.log');
    await until(
      'both to have begun',
      () =>
        programs.every(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('sha256sum')) &&
        readFileSync(log, 'utf8').split('a program joins').length === 2,
    );
    await until('the other loader to end', () => machine.loaders().length === 1);
    machine.bucket.letGo(`${KEY}w.bin`);
    for (const { ended } of programs) expect((await ended).stdout.toString()).toContain(sha(weights));
    expect(machine.bucket.reads).toHaveLength(1);
  });

  it('gives EIO and says why when a file is refused in the middle', async () => {
    const machine = await openMachine({ 'a.bin': randomBytes(9 * MIB), 'b.bin': randomBytes(100) });
    machine.bucket.refused.set(`${KEY}a.bin`, 403);
    const program = machine.run('bash', [
      '-c',
      'cat "$MODEL_DIR/b.bin" | wc -c; cat "$MODEL_DIR/a.bin" | wc -c',
    ]);
    const { stdout, stderr } = await program.ended;
    expect(stdout.toString()).toBe('100\n0\n');
    expect(stderr).toContain('Input/output error');
    expect(stderr).toMatch(/a\.bin cannot be read: .*403 AccessDenied/);
    expect(readFileSync(join(machine.logDir, 'connector.log'), 'utf8')).toContain('whoever opens it fails');
    await until('the loader to end', () => machine.loaders().length === 0);
  });

  it('gives EIO when the loader is killed, to who waits and to who comes later', async () => {
    const machine = await openMachine({ 'a.bin': randomBytes(100) });
    machine.bucket.held.add(`${KEY}a.bin`);
    const script = 'for i in 1 2; do cat "$MODEL_DIR/a.bin"; echo $?; done';
    const program = machine.run('bash', ['-c', script]);
    await until('a request', () => machine.bucket.reads.length > 0);
    for (const pid of machine.loaders()) signalProcess(pid, 'SIGKILL');
    const { stdout, stderr } = await program.ended;
    expect(stdout.toString()).toBe('1\n1\n');
    expect(stderr.match(/Input\/output error/g)).toHaveLength(2);
    machine.bucket.letGo(`${KEY}a.bin`);
    const next = machine.run('bash', ['-c', 'cat "$MODEL_DIR/a.bin"']); // and a later start mends it
    expect((await next.ended).stdout.equals(machine.bucket.objects.get(`${KEY}a.bin`)!)).toBe(true);
    await until('the loader to end', () => machine.loaders().length === 0);
    expect(readdirSync(machine.logDir).filter((name) => name.startsWith('modelserve-'))).toEqual([]);
  });

  it('ends the loader with the program and all that it has started', async () => {
    const machine = await openMachine({ 'a.bin': randomBytes(100) });
    machine.bucket.held.add(`${KEY}a.bin`);
    const fork = 'import os, time\nif os.fork() == 0: time.sleep(60)\nelse: print(os.getpid(), flush=True)';
    const program = machine.run('python3', ['-c', `${fork}`]);
    await until('the program to have ended', () => !existsSync(`/proc/${program.pid}`));
    const left = await until('what it has forked', () =>
      findByEnvironment((variables) => variables.has(`MODEL_DIR=${machine.modelDir}`)).filter(
        (pid) => !machine.loaders().includes(pid),
      ),
    );
    expect(machine.loaders()).toHaveLength(1);
    for (const pid of left) signalProcess(pid, 'SIGKILL');
    await until('the loader to end', () => machine.loaders().length === 0);
    expect((await program.ended).code).toBe(0);
  });

  it.each<[string, (machine: Machine) => Readonly<Record<string, string>>, RegExp]>([
    ['a wrong key', () => ({ OSS_ACCESS_KEY_SECRET: 'wrong' }), /answers 403 SignatureDoesNotMatch/],
    ['no model', () => ({ OSS_PATH: 'oss://example-bucket/none/' }), /has no such file/],
    ['no path', () => ({ OSS_PATH: '' }), /OSS_PATH is not set/],
    ['no folder', () => ({ MODEL_DIR: '' }), /MODEL_DIR is not set/],
    ['what is no URI', () => ({ OSS_PATH: 'example-model-path' }), /OSS_PATH: "example-model-path"/],
    [
      "somebody else's folder",
      ({ modelDir }) => {
        mkdirSync(modelDir);
        writeFileSync(join(modelDir, 'thesis.tex'), '');
        return {};
      },
      /holds what was not put there by an earlier start \(thesis.tex\); clear it/,
    ],
    [
      'a configuration that is none',
      ({ logDir }) => {
        writeFileSync(join(logDir, 'wrong.json'), '{"logLevel": 1\n "logPath": "/x"}');
        return { MODELSERVE_CONNECTOR_CONFIG: join(logDir, 'wrong.json') };
      },
      /wrong\.json:2:2: expected/,
    ],
  ])('ends before it begins, with one message: %s', async (_, prepare, message) => {
    const machine = await openMachine({ 'a.bin': Buffer.from('a') });
    const { code, stdout, stderr } = await machine.run('echo', ['begun'], prepare(machine)).ended;
    expect([code, stdout.toString()]).toEqual([1, '']);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^modelserve: [^\n]+\n$/);
  });

  it.skipIf(!existsSync('/dev/shm'))(
    'gives memory back after a while, and fetches again what is opened then',
    async () => {
      const folder = mkdtempSync('/dev/shm/modelserve-test-');
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const [large, small] = [randomBytes(9 * MIB), randomBytes(100)];
      const machine = await openMachine({ 'large.bin': large, 'small.json': small }, join(folder, 'model'));
      const path = join(machine.modelDir, 'large.bin');
      const program = machine.run('python3', ['-c', KEEPS_OPEN, path]);
      await until('the file to be there', () => program.output().toString().startsWith('mapped'));
      await until('its memory to be given back', () => statSync(path).blocks === 0);
      expect(statSync(join(machine.modelDir, 'small.json')).blocks).toBeGreaterThan(0);
      machine.bucket.refused.set(`${KEY}large.bin`, 403);
      program.write('\n');
      await until('an open that is refused', () => program.output().toString().includes('refused 5'));
      machine.bucket.refused.clear(); // what failed once may go well later
      program.write('\n');
      const { code, stdout } = await program.ended;
      expect([code, stdout.toString()]).toEqual([0, `mapped\nrefused 5\n${sha(large)}\n${sha(large)}\n`]);
      await until('the loader to end', () => machine.loaders().length === 0);
      expect(statSync(path).mode & 0o7777).toBe(0o644); // it was whole: an ordinary file from now on
    },
  );

  it('lets processes without ENABLE_CONNECTOR alone', async () => {
    const machine = await openMachine({ 'a.bin': Buffer.from('a') });
    const { code, stdout } = await machine.run('echo', ['begun'], { ENABLE_CONNECTOR: '0' }).ended;
    expect([code, stdout.toString(), machine.loaders()]).toEqual([0, 'begun\n', []]);
  });
});
