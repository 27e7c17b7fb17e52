import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { identityOf, isRunning } from '../../src/lib/process/identity.ts';
import { initPackage, type TemplateLanguage } from '../../src/packages/template.ts';
import { type CheckOptions, type CheckResult, runOnce } from '../../src/runner/check-client.ts';
import { type BuiltRunner, buildRunner } from './javascript/build.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const PYTHON_RUNNER = join(ROOT, 'src/runner/python/main.py');

let runner: BuiltRunner;
const folders: string[] = [];

beforeAll(async () => {
  runner = await buildRunner();
});

afterEach(async () => {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

afterAll(() => runner?.remove());

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ms-check-test-'));
  folders.push(folder);
  return folder;
}

interface Check {
  readonly codeDir: string;
  readonly language?: TemplateLanguage;
  readonly backend?: string;
  readonly options?: Partial<CheckOptions>;
}

function check({
  codeDir,
  language = 'typescript',
  backend = 'EchoBackend',
  options,
}: Check): Promise<CheckResult> {
  const isPython = language === 'python';
  return runOnce({
    command: isPython ? 'python3' : process.execPath,
    args: [isPython ? PYTHON_RUNNER : runner.main],
    env: { PATH: process.env['PATH'] ?? '' },
    cwd: codeDir,
    launch: {
      protocol: 1,
      replica: 'check',
      deployment: 'Echo',
      revision: 0,
      code_dir: codeDir,
      package: 'Echo',
      backend,
      model_path: '',
      user_config: null,
      max_ongoing: 1,
      concurrency: 1,
      max_batch_size: 1,
      batch_wait_timeout_s: 0,
    },
    request: { method: 'POST', param: { a: 1 } },
    timeoutMs: 20_000,
    onOutput: () => {},
    ...options,
  });
}

async function packageWith(source: string): Promise<string> {
  const codeDir = await newFolder();
  const file = join(codeDir, 'algopkg/Echo/backend.ts');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, source);
  return codeDir;
}

describe('runOnce', () => {
  it.each<[TemplateLanguage, string]>([
    ['typescript', 'AlgoBackend'],
    ['python', 'algo_backend'],
  ])('passes on the unedited %s template', async (language, backend) => {
    const codeDir = await newFolder();
    await initPackage({ name: 'Echo', language, packagesDir: join(codeDir, 'algopkg') });
    const result = await check({ codeDir, language, backend });
    expect(result, result.output).toMatchObject({ ok: true, status: 200, contentType: 'application/json' });
    expect(JSON.parse(result.body.toString())).toMatchObject({ status: 1, result: { echo: { a: 1 } } });
  });

  it('hands on what is printed, line by line, to the last', async () => {
    const codeDir = await packageWith(`export class EchoBackend {
      constructor() { console.log('loaded'); }
      call() { console.error('called'); return 1; }
      shutdown() { process.stdout.write('ended'); } }`);
    const lines: string[] = [];
    const result = await check({ codeDir, options: { onOutput: (line) => lines.push(line) } });
    expect(result.ok).toBe(true);
    expect(lines.filter((line) => !line.startsWith('modelserve:'))).toEqual(['loaded', 'called', 'ended']);
    expect(result.output).toContain('loaded\n');
  });

  it('gives the traceback of a start that failed', async () => {
    const codeDir = await packageWith(
      'export class EchoBackend { constructor() { throw new RangeError("no model"); } call() {} }',
    );
    const result = await check({ codeDir });
    expect(result).toMatchObject({ ok: false, status: null, message: 'RangeError: no model' });
    expect(result.traceback).toMatch(/backend\.ts:1:/);
  });

  it('gives the traceback of a call that failed', async () => {
    const codeDir = await packageWith(
      'export class EchoBackend { call() { throw new RangeError("no luck"); } }',
    );
    const result = await check({ codeDir });
    expect(result).toMatchObject({ ok: false, status: 500 });
    expect(JSON.parse(result.body.toString()).info).toMatch(/RangeError: no luck\n.*backend\.ts:1:/);
  });

  it('says that the process ended, and what it said last', async () => {
    const codeDir = await packageWith(
      'export class EchoBackend { call() { process.kill(process.pid, "SIGKILL"); } }',
    );
    const result = await check({ codeDir });
    expect(result).toMatchObject({ ok: false, status: null });
    expect(result.message).toMatch(/ended|closed/);
  });

  it('ends a backend that does not answer in time, and everything it has started', async () => {
    const codeDir = await packageWith(`import { spawn } from 'node:child_process';
      export class EchoBackend { call() { console.log('child', spawn('sleep', ['600']).pid); for (;;); } }`);
    const result = await check({ codeDir, options: { timeoutMs: 1_500 } });
    expect(result).toMatchObject({ ok: false, status: null, message: 'no answer within 1500 ms' });
    const pid = Number(/child (\d+)/.exec(result.output)?.[1]);
    const child = identityOf(pid);
    expect(child !== null && isRunning(child), `process ${pid} runs`).toBe(false);
  });

  it('is ended early by its signal', async () => {
    const codeDir = await packageWith(
      'export class EchoBackend { call() { return new Promise(() => {}); } }',
    );
    const over = new AbortController();
    const onOutput = (line: string): void => {
      if (line.includes('ready')) over.abort();
    };
    const result = await check({ codeDir, options: { signal: over.signal, onOutput } });
    expect(result).toMatchObject({ ok: false, status: null, message: 'the check was ended' });
  });

  it('works on the packages of the repository that need nothing', async () => {
    const codeDir = await newFolder();
    await cp(join(ROOT, 'algopkg/AlgoExample'), join(codeDir, 'algopkg/Echo'), { recursive: true });
    const result = await check({ codeDir, language: 'python', backend: 'algo_backend' });
    expect(result).toMatchObject({ ok: false, status: null });
    expect(result.traceback).toContain('expected one model');
    expect(await readFile(join(codeDir, 'algopkg/Echo/backend.py'), 'utf8')).toContain('algo_backend');
  });
});
