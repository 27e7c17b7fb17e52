import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { findInterpreter } from '../../src/agent/environments/python-interpreter.ts';
import { childEnvironment } from '../../src/config/environment.ts';
import { signalProcess } from '../../src/lib/process/signals.ts';
import { makeWheel } from '../agent/environments/python-package.ts';
import { type CommandResult, modelserve, TestHead } from './support/cluster.ts';
import { steadyLoad } from './support/load.ts';
import { echoSource, Project } from './support/project.ts';
import { until } from './support/until.ts';

const opened: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

function newProject(): Project {
  const project = new Project();
  opened.push(() => project.remove());
  return project;
}

async function startHead(project: Project, env: Record<string, string> = {}): Promise<TestHead> {
  const head = await TestHead.start({ conf: project.conf, env });
  opened.push(async () => await head.dispose());
  return head;
}

/** A backend that answers with its Python's version and what `code` gives. */
const reporting = (code = 'None', before = ''): string => `
import sys
${before}
class Backend(object):
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        return {'status': 1, 'python': '%d.%d' % sys.version_info[:2], 'value': ${code}}
`;

async function ask(head: TestHead, route: string): Promise<{ python: string; value: unknown }> {
  const answer = await fetch(head.url(route), { method: 'POST', body: '{}' });
  expect(answer.status).toBe(200);
  return (await answer.json()) as { python: string; value: unknown };
}

function expectDone(result: CommandResult): void {
  expect(result, result.stdout + result.stderr).toMatchObject({ code: 0 });
}

/** No index can be reached: what needs one says so soon. */
const NO_INDEX = { PIP_INDEX_URL: 'http://127.0.0.1:9/simple', PIP_RETRIES: '0', UV_OFFLINE: '1' };

it('two packages with conflicting versions of one library serve side by side, from wheels, without an index', async () => {
  const project = newProject();
  for (const [name, version] of [
    ['Old', '1.0'],
    ['New', '2.0'],
  ] as const) {
    project.package(name, reporting('mini.version', 'import mini'));
    project.write(`algopkg/${name}/requirements.txt`, `mini==${version}\n`);
    await makeWheel(
      join(project.dir, 'algopkg', name, 'wheels'),
      'mini',
      version,
      `version = '${version}'\n`,
    );
  }
  const keys = { backend: 'Backend', wheels: './wheels', min_ready_s: 0 };
  project.sections({ Old: { ...keys, route: 'old' }, New: { ...keys, route: 'new' } });
  const head = await startHead(project, NO_INDEX);
  expect(await ask(head, 'old')).toMatchObject({ value: '1.0' });
  expect(await ask(head, 'new')).toMatchObject({ value: '2.0' });
  const listed = await modelserve(['env', 'list', '--json', '--state-dir', head.stateDir]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ state: 'ready' }, { state: 'ready' }]);
  // What a recorded revision needs is not pruned.
  const pruned = await modelserve(['env', 'prune', '--all-unused', '--yes', '--state-dir', head.stateDir]);
  expect(pruned.stdout).toContain('nothing to remove');
});

const VERSIONS = ['3.6', '3.8', '3.11', '3.13'];
const found = await Promise.all(
  VERSIONS.map(async (wanted) =>
    findInterpreter({ wanted, projectDir: '/', env: childEnvironment() }).then(
      () => wanted,
      () => null,
    ),
  ),
);
const missing = VERSIONS.filter((version) => !found.includes(version));
const without = missing.length === 0 ? '' : ` (skipped: no Python ${missing.join(', ')} here)`;

it.skipIf(missing.length > 0)(`Python ${VERSIONS.join(', ')} answer side by side${without}`, async () => {
  const project = newProject();
  const sections = Object.fromEntries(
    VERSIONS.map((version) => {
      const name = `P${version.replace('.', '')}`;
      project.package(name, reporting());
      return [name, { backend: 'Backend', python: version, min_ready_s: 0 }];
    }),
  );
  project.sections(sections);
  const head = await startHead(project);
  const answers = await Promise.all(Object.keys(sections).map(async (name) => await ask(head, name)));
  expect(answers.map(({ python }) => python)).toEqual(VERSIONS);
});

it('a conda environment with the package’s name is what it runs in, and the plan says so', async () => {
  const project = newProject();
  const home = mkdtempSync(join(tmpdir(), 'modelserve-home-'));
  opened.push(() => rmSync(home, { recursive: true, force: true }));
  const prefix = join(home, 'miniconda3', 'envs', 'Echo');
  execFileSync('python3', ['-m', 'venv', '--without-pip', prefix]);
  mkdirSync(join(prefix, 'conda-meta'));
  project.package('Echo', reporting('sys.prefix'));
  project.sections({ Echo: { backend: 'Backend', min_ready_s: 0 } });
  const head = await startHead(project, { HOME: home });
  expect(await ask(head, 'Echo')).toMatchObject({ value: prefix });
  project.sections({ Echo: { backend: 'Backend', min_ready_s: 0, environment: 'conda:Other' } });
  const refused = await head.apply(['--dry-run']);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(
    /environment: expected a conda environment Other on every node, found none on any node/,
  );
  project.sections({ Echo: { backend: 'Backend', min_ready_s: 0, environment: 'system', python: '3' } });
  const plan = await head.apply(['--dry-run']);
  expect(plan.stdout).toMatch(/environment: conda:Echo → system[\s\S]*environment: system \(Python 3/);
});

it('a requirement that does not exist fails the change once, with the tool’s own words; no request is lost', async () => {
  const project = newProject();
  project.package('Echo', echoSource());
  project.sections({ Echo: { backend: 'Backend', min_ready_s: 0 } });
  const head = await startHead(project, NO_INDEX);
  const load = steadyLoad(head.url('Echo'), { connections: 4 });
  await load.more(20);
  project.write('algopkg/Echo/requirements.txt', 'no-such-package-at-all==1\n');
  const failed = await head.apply();
  await load.more(20);
  const outcome = await load.stop();
  expect(failed.code).toBe(1);
  expect(failed.stdout).toMatch(/environment: venv \(requirements.txt, /);
  expect(failed.stdout).toMatch(/Echo\s+n-\w+\s+\d+ s\s+/);
  expect(failed.stderr).toMatch(/cannot install algopkg\/Echo\/requirements.txt: .*no-such-package-at-all/);
  expect(failed.stderr).toContain('what served before serves on');
  expect(outcome.failures).toEqual([]);
  const { deployments } = await head.status();
  expect(deployments).toMatchObject([{ ready: 1, serving_revision: 1 }]);
  rmSync(join(project.dir, 'algopkg', 'Echo', 'requirements.txt'));
  expectDone(await head.apply());
});

/** A requirement whose installation runs for as long as the file is there. */
function slowPackage(project: Project, name: string): string {
  const gate = join(project.dir, `${name}.gate`);
  writeFileSync(gate, '');
  project.package(name, reporting());
  project.write(`algopkg/${name}/requirements.txt`, './slow\n');
  // A backend of its own, so that nothing has to be fetched to build it.
  project.write(
    `algopkg/${name}/slow/pyproject.toml`,
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
  );
  project.write(
    `algopkg/${name}/slow/backend.py`,
    `import os, time, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    while os.path.exists(${JSON.stringify(gate)}): time.sleep(0.05)
    name = 'slow-1-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(folder, name), 'w') as z:
        z.writestr('slow.py', '')
        z.writestr('slow-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: slow\\nVersion: 1\\n')
        z.writestr('slow-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        z.writestr('slow-1.dist-info/RECORD', '')
    return name
`,
  );
  return gate;
}

/** Processes that build below this state directory. */
function buildersIn(stateDir: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return words.includes(stateDir) && words.includes('install');
      } catch {
        return false;
      }
    })
    .map(Number);
}

it('a build is shown while it runs, and cancelled with all its processes when it is moot', async () => {
  const project = newProject();
  slowPackage(project, 'Slow');
  project.sections({});
  const head = await startHead(project);
  project.sections({ Slow: { backend: 'Backend', min_ready_s: 0 } });
  const applied = await head.apply(['--no-wait']);
  expectDone(applied);
  await until('the build to run', () => buildersIn(head.stateDir).length > 0, 60_000);
  const replica = await until('the status to tell of it', async () => {
    const { deployments } = await head.status();
    return deployments[0]?.replicas.find(({ message }) => /pip install|slow|metadata/i.test(message));
  });
  expect(replica).toMatchObject({ phase: 'preparing', since: expect.stringMatching(/^\d{4}-/) });
  project.sections({});
  expectDone(await head.apply());
  await until('the build to be gone', () => buildersIn(head.stateDir).length === 0, 60_000);
});

it('a node killed in the middle of a build, and its builders with it, builds it whole afterwards', async () => {
  const project = newProject();
  const gate = slowPackage(project, 'Slow');
  project.sections({});
  const head = await startHead(project);
  project.sections({ Slow: { backend: 'Backend', min_ready_s: 0 } });
  expectDone(await head.apply(['--no-wait']));
  const builders = await until('the build to run', () => {
    const pids = buildersIn(head.stateDir);
    return pids.length > 0 ? pids : null;
  });
  head.signal('SIGKILL');
  await head.ended();
  for (const pid of builders) signalProcess(pid, 'SIGKILL');
  const listed = await modelserve(['env', 'list', '--json', '--state-dir', head.stateDir]);
  expect(JSON.parse(listed.stdout)).toMatchObject([{ state: 'unfinished' }]);
  rmSync(gate);
  head.launch();
  await until('the package to answer', async () => (await ask(head, 'Slow')).python !== '', 90_000);
});

const canMount = (() => {
  const folder = mkdtempSync(join(tmpdir(), 'modelserve-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
})();

it.skipIf(!canMount)(
  `a full disk is named, and what runs goes on${canMount ? '' : ' (skipped: no right to mount a small file system)'}`,
  async () => {
    const project = newProject();
    project.package('Echo', echoSource());
    project.sections({ Echo: { backend: 'Backend', min_ready_s: 0 } });
    const head = await startHead(project, NO_INDEX);
    const before = await ask(head, 'Echo');
    const environments = join(head.stateDir, 'environments');
    mkdirSync(environments, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', environments]);
    opened.push(() => void execFileSync('umount', ['--lazy', environments]));
    project.write('algopkg/Big/requirements.txt', 'big\n');
    project.package('Big', reporting());
    const wheels = join(project.dir, 'algopkg', 'Big', 'wheels');
    await makeWheel(wheels, 'big', '1.0', 'text = 1\n');
    execFileSync('python3', [
      '-c',
      'import os, sys, zipfile; zipfile.ZipFile(sys.argv[1], "a").writestr("big.bin", os.urandom(16 << 20))',
      join(wheels, 'big-1.0-py3-none-any.whl'),
    ]);
    const keys = { backend: 'Backend', min_ready_s: 0 };
    project.sections({ Echo: keys, Big: { ...keys, wheels: 'wheels' } });
    const failed = await head.apply();
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/the disk that holds \S+environments\S+ is full/);
    expect(await ask(head, 'Echo')).toEqual(before);
  },
);
