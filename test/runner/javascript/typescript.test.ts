import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltRunner, buildRunner } from './build.ts';
import { launchFor, startReplica, type TestReplica, writePackage } from './replica-harness.ts';

const run = promisify(execFile);

const BACKEND = `
import { readFileSync } from 'node:fs';
import { double } from 'local-double';
import { label } from './labels/label.js';
interface Task { readonly value: number }
export class EchoBackend {
  private readonly words: string = readFileSync(new URL('./words.txt', import.meta.url), 'utf8');
  constructor(readonly modelPath: string) {}
  async call(request: { json(): Promise<Task> }) {
    const task = await request.json();
    if (task.value < 0) throw new RangeError('negative');
    return { doubled: double(task.value), label: label(), words: this.words };
  }
}`;

/** A TypeScript package with an npm package of its own, as \`npm install\` of a local folder leaves it. */
const PACKAGE = {
  'backend.ts': BACKEND,
  'labels/label.ts': `import { readFileSync } from 'node:fs';
    export const label = (): string => readFileSync(new URL('./label.txt', import.meta.url), 'utf8');`,
  'labels/label.txt': 'cat',
  'words.txt': 'some words',
  'package.json': '{"name":"echo","type":"module","dependencies":{"local-double":"file:./double"}}',
  'node_modules/local-double/package.json': '{"name":"local-double","version":"1.0.0","main":"index.js"}',
  'node_modules/local-double/index.js': 'exports.double = (value) => value * 2;',
};

let runner: BuiltRunner;
const started: TestReplica[] = [];
const folders: string[] = [];

beforeAll(async () => {
  runner = await buildRunner();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((replica) => replica.stop()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

afterAll(() => runner?.remove());

async function start(files: Record<string, string>): Promise<TestReplica> {
  const replica = await startReplica({ main: runner.main, files, launch: { concurrency: 2 } });
  started.push(replica);
  return replica;
}

interface Check {
  readonly exitCode: number;
  readonly stdout: string;
  readonly result: {
    readonly ok: boolean;
    readonly message?: string;
    readonly traceback?: string;
    readonly missing_module?: string | null;
  };
}

async function check(files: Record<string, string>): Promise<Check> {
  const folder = await mkdtemp(join(tmpdir(), 'ms-js-'));
  folders.push(folder);
  await writePackage(join(folder, 'code'), files);
  const launchFile = join(folder, 'launch.json');
  await writeFile(launchFile, JSON.stringify(launchFor(folder)));
  const ended = await run(process.execPath, [runner.main, '--check-import', launchFile]).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: number; stdout: string }) => error,
  );
  return { exitCode: ended.code, stdout: ended.stdout, result: JSON.parse(ended.stdout) };
}

describe('a TypeScript backend', () => {
  it('runs with its npm package, its own files and their own locations', async () => {
    const replica = await start(PACKAGE);
    expect(await replica.json({ value: 21 })).toEqual({ doubled: 42, label: 'cat', words: 'some words' });
    const written = await readdir(join(replica.launch.code_dir, 'algopkg/Echo/.modelserve'));
    expect(written).toEqual([expect.stringMatching(/^backend-[0-9a-f]{16}\.mjs$/)]);
  });

  it('has stack traces that name its own lines', async () => {
    const replica = await start(PACKAGE);
    await replica.json({ value: -1 });
    expect(await replica.log()).toMatch(/RangeError: negative\n.*Echo\/backend\.ts:11:/);
  });

  it('fails with every message of the compiler', async () => {
    const replica = await start({ 'backend.ts': 'export class EchoBackend {\n  call( {\n}' });
    expect(replica.states.at(-1)).toMatchObject({
      phase: 'failed',
      error: { message: expect.stringMatching(/^cannot compile .*backend\.ts: Expected/) },
    });
    expect(replica.states.at(-1)?.error?.traceback).toContain('backend.ts:3:');
  });
});

describe('a package', () => {
  it.each([
    ['no backend file', {}, 'no backend file'],
    ['two of them', { 'backend.ts': '', 'backend.js': '' }, 'has backend.ts and backend.js'],
  ])('with %s is refused', async (_what, files, reason) => {
    const { result } = await check({ 'readme.txt': '', ...files });
    expect(result).toMatchObject({ ok: false, message: expect.stringContaining(reason) });
  });

  it.each([
    ['ES modules', { 'backend.mjs': 'export class EchoBackend { call() { return 1; } }' }],
    ['CommonJS', { 'backend.cjs': 'exports.EchoBackend = class { call() { return 1; } };' }],
    [
      'CommonJS whose exports are computed',
      {
        'backend.cjs':
          'module.exports = Object.fromEntries([["EchoBackend", class { call() { return 1; } }]]);',
      },
    ],
    ['.js without a package.json', { 'backend.js': 'export class EchoBackend { call() { return 1; } }' }],
    [
      'a default export of that name',
      { 'backend.ts': 'export default class EchoBackend { call() { return 1; } }' },
    ],
    ['a default export without a name', { 'backend.ts': 'export default class { call() { return 1; } }' }],
    [
      'the method named as in Python',
      { 'backend.ts': 'export class EchoBackend { __call__() { return 1; } }' },
    ],
  ])('may be written with %s', async (_what, files) => {
    const replica = await start(files);
    expect(await replica.json({})).toBe(1);
  });
});

describe('the import check', () => {
  it('answers in one line, whatever the backend prints while it is imported', async () => {
    const checked = await check({
      'backend.mjs': 'console.log("hello"); setInterval(() => {}, 1000); export class EchoBackend {}',
    });
    expect([checked.exitCode, checked.stdout]).toEqual([0, '{"ok":true}\n']);
  });

  it.each([
    ['import', 'backend.ts', 'import "@scope/missing/part"; export class EchoBackend {}', '@scope/missing'],
    ['require', 'backend.cjs', 'require("missing-one"); exports.EchoBackend = class {};', 'missing-one'],
  ])('names the npm package that is missing: %s', async (_how, name, source, missing) => {
    const checked = await check({ [name]: source });
    expect(checked.exitCode).toBe(1);
    expect(checked.result).toMatchObject({ ok: false, missing_module: missing });
    expect(checked.result.traceback).toContain('Cannot find');
  });

  it('does not take a missing file of its own for a missing package', async () => {
    const checked = await check({ 'backend.mjs': 'import "./gone.mjs"; export class EchoBackend {}' });
    expect(checked.result).toMatchObject({ ok: false, missing_module: null });
  });

  it('lists what the file exports when the class is not there', async () => {
    const checked = await check({ 'backend.ts': 'export class Other {} export default class Main {}' });
    expect(checked.result.message).toMatch(/exports no class EchoBackend.*Other.*default \(Main\)/);
  });

  it('says why the bundle could not be written', async () => {
    const files = {
      'backend.ts': 'export class EchoBackend {}',
      '.modelserve': 'a file where a folder should be',
    };
    const { result } = await check(files);
    expect(result.message).toMatch(/^cannot write the compiled backend to .*must be writable$/);
  });
});

it('a launch file that does not fit is refused with the field', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ms-js-'));
  folders.push(folder);
  const path = join(folder, 'launch.json');
  for (const [changes, reason] of [
    [{ protocol: 99 }, 'has protocol 99'],
    [{ socket: 3 }, '"socket" must be a string, found 3'],
    [{ concurrency: 0 }, '"concurrency" must be a number above 0'],
  ] as const) {
    await writeFile(path, JSON.stringify({ ...launchFor(folder), ...changes }));
    const failed = await run(process.execPath, [runner.main, path]).catch(
      (error: { code: number; stderr: string }) => error,
    );
    expect(failed, reason).toMatchObject({ code: 1, stderr: expect.stringContaining(reason) });
  }
});
