import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePorts, modelserve, TestHead, TestNode } from './support/cluster.ts';
import { Project } from './support/project.ts';

const ESCAPE = '\u001b';

describe('without a cluster', () => {
  const dir = mkdtempSync(join(tmpdir(), 'modelserve-cli-'));
  const env = { XDG_STATE_HOME: join(dir, 'state'), NO_COLOR: '' };
  const run = async (...args: string[]) => await modelserve(args, { cwd: dir, env });

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  it.each<[code: number, args: readonly string[], says: RegExp]>([
    [0, ['--version'], /^\d+\.\d+\.\d+/],
    [0, ['controller', '--help'], /bring an edited conf\.ini into force/],
    [0, ['config'], /user_config/],
    [0, ['stop'], /nothing runs in/],
    [2, [], /Usage: modelserve/],
    [2, ['stat'], /unknown command 'stat'/],
    [2, ['status', '--wath'], /Did you mean --watch/],
    [2, ['head', '--port', '0'], /expected 1 to 65535/],
    [2, ['head', '--num-gpus', '1.5'], /expected a whole number/],
    [2, ['head', '--state-dir', ''], /expected a folder/],
    [2, ['head', '--state-dir', '/dev/null'], /cannot be used.*--state-dir/],
    [2, ['head', '--redis', 'foo'], /is not the URL of a store/],
    [2, ['worker'], /--address HOST:6370/],
    [2, ['worker', '--address', 'x', '--token', 't'], /expects HOST:PORT/],
    [2, ['controller', '--conf', 'nope.ini'], /found none; .* name the file with --conf/],
    [2, ['stop', '--all', '--keep-replicas'], /exclude each other/],
    [2, ['init', 'face-detection'], /cannot be the name of a package/],
    [2, ['check', 'Nope'], /\[algopkg\.Nope\]: expected the package's folder/],
    [4, ['status'], /Start (one|a head) with `modelserve head`/],
    [4, ['status', '--address', '127.0.0.1:1', '--token', 't'], /no cluster answers at 127\.0\.0\.1:1 /],
    [4, ['worker', '--address', '127.0.0.1:1', '--token', 't'], /nothing answers at 127\.0\.0\.1:1 /],
    [4, ['status', '--token-file', '/nope'], /cannot read the cluster token/],
  ])('ends with %i: modelserve %j', async (code, args, says) => {
    const ended = await run(...args);
    expect(ended, ended.stderr).toMatchObject({ code });
    expect(ended.stdout + ended.stderr).toMatch(says);
    expect(code === 0 ? ended.stderr : ended.stdout, 'answers to stdout, problems to stderr').toBe('');
    expect(ended.stdout + ended.stderr).not.toContain(ESCAPE);
    expect(ended.stderr).not.toMatch(/^\s+at /m); // no stack of our own
  });

  it.each(['python', 'typescript'])('makes a package in %s that passes its check unedited', async (lang) => {
    const name = `Made_${lang}`;
    const made = await run('init', name, '--lang', lang);
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(made.stdout).toContain(`[algopkg.${name}]`);
    expect(await run('init', name)).toMatchObject({ code: 2 });
    const checked = await run('check', name, '--param', '{"a": 1}');
    expect(checked, checked.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(checked.stdout)).toMatchObject({ status: 1, result: { echo: { a: 1 } } });
    expect(checked.stderr).toMatch(
      / {2}environment +found .*\n {2}import +[\d.]+ s\n {2}start .*\n {2}call .*\n {2}memory +[\d.]+ MiB, [\d.]+ MiB at most\n/,
    );
    expect(await run('check', name, '--param', '{a')).toMatchObject({ code: 2 });
    const elsewhere = await run('check', name, '--environment', 'nope');
    expect(elsewhere).toMatchObject({ code: 2, stdout: '' });
    expect(elsewhere.stderr).toMatch(/environment: expected venv, .* found "nope"/);
  });

  it('tries a package in another environment than its own', async () => {
    await run('init', 'Elsewhere');
    writeFileSync(join(dir, 'algopkg/Elsewhere/requirements.txt'), 'no-such-package==9\n');
    const checked = await run('check', 'Elsewhere', '--environment', 'system');
    expect(checked, checked.stderr).toMatchObject({ code: 0 });
  });

  it.each([
    ['Raises', 'def __init__(self, model_path):\n        raise ValueError("on purpose")', 'on purpose'],
    ['Unparsed', 'def __init__(self, model_path)\n        pass', 'SyntaxError'],
  ])('shows once, with its place, why %s cannot be loaded', async (name, source, why) => {
    mkdirSync(join(dir, 'algopkg', name), { recursive: true });
    writeFileSync(
      join(dir, 'algopkg', name, 'backend.py'),
      `class Backend(object):\n    ${source}\n\n    async def __call__(self, request):\n        return 1\n`,
    );
    const checked = await run('check', name);
    expect(checked).toMatchObject({ code: 1, stdout: '' });
    expect(checked.stderr).toContain(why);
    expect(checked.stderr.match(/backend\.py", line/g)).toHaveLength(1);
  });
});

describe('with a cluster, in folders whose names need care', () => {
  const project = new Project('modelserve prøj ');
  const stateRoot = mkdtempSync(join(tmpdir(), 'modelserve état '));
  let head: TestHead;

  beforeAll(async () => {
    const made = await modelserve(['init', 'Face'], { cwd: project.dir });
    expect(made, made.stderr).toMatchObject({ code: 0 });
    project.write('conf.ini', section(made.stdout));
    head = await TestHead.start({
      conf: project.conf,
      stateDir: join(stateRoot, 'x'.repeat(120), 'y'.repeat(120)),
      env: { PIP_NO_INDEX: '1' }, // what cannot be found is found out at once
    });
  });

  afterAll(async () => {
    await head?.dispose();
    project.remove();
    rmSync(stateRoot, { recursive: true, force: true });
  });

  const client = async (...args: string[]) =>
    await modelserve([...args, ...head.client], { cwd: project.dir });

  it('says how workers join, in words that a shell reads as they are meant', () => {
    const line = /modelserve (worker .*)$/m.exec(head.output)?.[1] ?? '';
    const words = execFileSync('sh', ['-c', `printf '%s\\n' ${line}`], { encoding: 'utf8' }).split('\n');
    expect(readFileSync(words[words.indexOf('--token-file') + 1] ?? '', 'utf8').trim()).toBe(head.token);
  });

  it('tells calmly what happens: plain lines, none twice, nothing of another deployment', () => {
    const lines = head.output.split('\n').filter((line) => line.startsWith('  Face'));
    expect(new Set(lines).size).toBe(lines.length);
    expect(lines.at(-1)).toBe('  Face  ready     1/1');
    expect(head.output).not.toContain(ESCAPE);
  });

  it('takes a package from its first call to its end', async () => {
    expect(await client('call', 'face', '--param', '{"a": 1}')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"echo":{"a":1}'),
    });
    const source = readFileSync(join(project.dir, 'algopkg/Face/backend.py'), 'utf8');
    project.write('algopkg/Face/backend.py', source.replace('"echo"', '"reply"'));
    const planned = await client('controller', '--dry-run');
    expect(planned.stdout).toMatch(
      /changed Face: new replicas, then the old ones drain\n +package content: /,
    );
    const changed = await client('controller');
    expect(changed, changed.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(changed.stdout).toMatch(/Revision 2:\n(?: {2}Face .*\n)+Revision 2 is in force\.\n$/);
    expect(await client('controller')).toMatchObject({
      code: 0,
      stdout: 'Nothing changes.\nRevision 2 is in force.\n',
    });
    expect((await client('call', '/face')).stdout).toContain('"reply"');
    const status = await client('status');
    expect(status.stdout).toMatch(/^Face +\/face +HEALTHY +2 +1\/1$/m);
    project.write('conf.ini', `#${readFileSync(project.conf, 'utf8').replaceAll('\n', '\n#')}`);
    expect((await client('controller')).stdout).toMatch(/- removed Face\n(.*\n)* {2}Face {2}GONE\n/);
    expect((await fetch(head.url('face'))).status).toBe(404);
    expect(await client('call', 'face')).toMatchObject({ code: 2 });
  });

  it('changes nothing for a file with mistakes, and tells them all', async () => {
    project.write('conf.ini', '[algopkg.Face]\nbackend = algo_backnd\nreplicas = -1\nroutee = x\n');
    const refused = await client('controller');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    for (const where of [':2 ', ':3 ', ':4 ']) expect(refused.stderr).toContain(`conf.ini${where}`);
    expect(refused.stderr).toContain('3 mistakes in conf.ini; nothing was changed.');
    expect((await head.status()).revision).toBe(3);
  });

  it('ends with 3 where no node has room, and says what is missing', async () => {
    project.package(
      'Big',
      'class Backend(object):\n    async def __call__(self, request):\n        return 1\n',
    );
    project.sections({ Big: { backend: 'Backend', gpu_cost: 1 } });
    const pending = await client('controller', '--timeout', '1');
    expect(pending, pending.stderr).toMatchObject({ code: 3 });
    expect(pending.stderr).toMatch(/no progress for 1 s.*\n +Big: PENDING .*GPU/);
  });

  it('keeps the old version where requirements cannot be installed, in the words of pip', async () => {
    project.sections({ Face: { backend: 'algo_backend', min_ready_s: 0 } });
    expect(await client('controller')).toMatchObject({ code: 0 });
    project.write('algopkg/Face/requirements.txt', 'no-such-package==9\n');
    const failed = await client('controller');
    expect(failed, failed.stdout).toMatchObject({ code: 1 });
    expect(failed.stderr).toMatch(/cannot install algopkg\/Face\/requirements\.txt: .*no-such-package==9/);
    expect(failed.stderr).toMatch(/failed for Face; what served before serves on\n$/);
    expect(await client('call', 'Face')).toMatchObject({ code: 0 });
    rmSync(join(project.dir, 'algopkg/Face/requirements.txt'));
  });

  it('ends with 1 when the class that is called says that it failed', async () => {
    appendFileSync(join(project.dir, 'algopkg/Face/backend.py'), FAILING);
    project.sections({ Face: { backend: 'Failing', min_ready_s: 0 } });
    expect(await client('controller')).toMatchObject({ code: 0 });
    const called = await client('call', 'Face');
    expect(called).toMatchObject({ code: 1 });
    expect(JSON.parse(called.stdout)).toMatchObject({ status: 0 });
    const logs = await client('logs', 'Face', '-n', '20');
    expect(logs.stdout).toContain('on purpose');
  });

  it.each<[string, number, RegExp, (head: TestHead) => readonly string[]]>([
    ['a wrong token', 4, /token/, (to) => ['status', '--address', admin(to), '--token', 'wrong']],
    ['another port of it', 4, /admin API/, (to) => ['status', '--address', http(to), '--token', to.token]],
    ['a log there is none of', 2, /there is no log of Nope/, (to) => ['logs', 'Nope', ...to.client]],
    ['a state directory in use', 2, /is in use by a modelserve head/, (to) => to.args],
  ])('refuses %s with %i', async (_what, code, says, args) => {
    const ended = await modelserve(args(head));
    expect(ended, ended.stderr).toMatchObject({ code });
    expect(ended.stderr).toMatch(says);
  });

  it('refuses a worker that has another token', async () => {
    const worker = new TestNode(['worker', '--address', `127.0.0.1:${head.storePort}`, '--token', 'wrong']);
    try {
      worker.launch();
      await worker.ended();
      expect(worker.exitCode).toBe(4);
      expect(worker.output).toContain('refuses access');
    } finally {
      await worker.dispose();
    }
  });

  it('ends at once on Ctrl-C while it starts', async () => {
    const slow = new Project();
    slow.package(
      'Slow',
      'import time\n\nclass Backend(object):\n    def __init__(self, m):\n        time.sleep(600)\n\n    async def __call__(self, request):\n        return 1\n',
    );
    slow.sections({ Slow: { backend: 'Backend' } });
    const second = new TestHead(await freePorts(3), { conf: slow.conf });
    try {
      second.launch();
      await second.says(/Slow {2}starting {2}0\/1 {2}starting: loading/);
      second.signal('SIGINT');
      await second.ended();
      expect(second.output).toMatch(/stopped\n$/);
      expect(second.exitCode).toBe(0);
    } finally {
      await second.dispose();
      slow.remove();
    }
  });
});

const FAILING = `

class Failing(algo_backend):
    def _model_inference(self, param_dict):
        raise ValueError('on purpose')
`;

/** The section that \`init\` prints to be copied. */
function section(printed: string): string {
  return printed.slice(printed.indexOf('['));
}

function admin(head: TestHead): string {
  return `127.0.0.1:${head.adminPort}`;
}

function http(head: TestHead): string {
  return `127.0.0.1:${head.httpPort}`;
}
