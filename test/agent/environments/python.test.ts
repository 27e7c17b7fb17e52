import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type PythonRequest, pythonEnvironment } from '../../../src/agent/environments/python-environment.ts';
import { findInterpreter, type Interpreter } from '../../../src/agent/environments/python-interpreter.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { findProgram } from '../../../src/lib/process/find-program.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';

const env = baseEnv();
const here = await find(null);
const VERSIONS = ['3.6', '3.7', '3.8', '3.9', '3.10', '3.11', '3.12', '3.13'];
const found = await Promise.all(VERSIONS.map((wanted) => find(wanted).catch(() => null)));

function find(wanted: string | null, over: Record<string, string> = {}): Promise<Interpreter> {
  return findInterpreter({ wanted, projectDir: '/', env: { ...env, ...over } });
}

/** A folder with a program of that name. */
function program(name: string, script: string): string {
  const folder = tempDir();
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return folder;
}

async function python(path: string, code: string): Promise<string> {
  return (await runCommand(path, ['-c', code], { env, timeoutMs: 20_000 })).output.trim();
}

for (const [index, wanted] of VERSIONS.entries()) {
  const interpreter = found[index] ?? null;
  const name = `python = ${wanted} is that version by its own word`;
  test.skipIf(interpreter === null)(
    interpreter === null ? `${name} (skipped: no Python ${wanted} here)` : name,
    async () => {
      const code = 'import sys; print("%d.%d" % sys.version_info[:2])';
      expect(await python(interpreter?.path ?? '', code)).toBe(wanted);
    },
  );
}

test('no wish is the first python3 on the PATH, by its own path', async () => {
  const folder = program('python3', `exec ${here.path} "$@"`);
  expect((await find(null, { PATH: folder })).path).toBe(here.path);
});

test('a shim for a version that is not there is passed over for pyenv’s own', async () => {
  const broken = program('python3.9', 'echo "pyenv: python3.9: command not found" >&2; exit 127');
  const root = tempDir();
  for (const version of ['3.9.2', '3.9.18', '3.10.1']) {
    const bin = join(root, 'versions', version, 'bin');
    mkdirSync(bin, { recursive: true });
    const answer = JSON.stringify({ path: join(bin, 'python'), version, platform: 'x', ensurepip: true });
    writeFileSync(join(bin, 'python'), `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
  }
  const where = { PATH: broken, PYENV_ROOT: root };
  expect((await find('3.9', where)).version).toBe('3.9.18');
  expect((await find('3.9.2', where)).version).toBe('3.9.2');
  await expect(find('3.8', where)).rejects.toThrow(/Python 3.8 is neither.*found: .*3\.10\.1/);
});

test('a path is taken as it is, relative to the project', async () => {
  const folder = program('my-python', `exec ${here.path} "$@"`);
  const interpreter = await findInterpreter({ wanted: './my-python', projectDir: folder, env });
  expect(interpreter.version).toBe(here.version);
  const wanted = findInterpreter({ wanted: 'no/python', projectDir: folder, env });
  await expect(wanted).rejects.toThrow(`${folder}/no/python is no Python 3.6 or newer that can be run`);
});

test('a Python that is too old is none', async () => {
  const answer = JSON.stringify({ path: '/p', version: '2.7.18', platform: 'x', ensurepip: false });
  const folder = program('python3', `echo '${answer}'`);
  await expect(find(null, { PATH: folder, PYENV_ROOT: folder })).rejects.toThrow('no python3 (3.6 or newer)');
});

interface Package {
  readonly request: PythonRequest;
  readonly lines: string[];
}

/** A package with these requirements, beside a wheel `mini` 1.0 that it may ask for. */
async function pythonPackage(
  requirements: string | null,
  over: Partial<PythonRequest> = {},
): Promise<Package> {
  const root = tempDir();
  const packageDir = join(root, 'algopkg', 'Echo');
  mkdirSync(join(packageDir, 'wheels'), { recursive: true });
  if (requirements !== null) writeFileSync(join(packageDir, 'requirements.txt'), requirements);
  const wheel = join(packageDir, 'wheels', 'mini-1.0-py3-none-any.whl');
  await python(
    here.path,
    `import zipfile
z = zipfile.ZipFile(${JSON.stringify(wheel)}, "w")
z.writestr("mini.py", "answer = 42\\n")
z.writestr("mini-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: mini\\nVersion: 1.0\\n")
z.writestr("mini-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
z.writestr("mini-1.0.dist-info/RECORD", "")
z.close()`,
  );
  const lines: string[] = [];
  return {
    lines,
    request: {
      interpreter: here,
      packageName: 'Echo',
      packageDir,
      packageHash: 'p',
      environmentsDir: join(root, 'environments'),
      env,
      onProgress: (line) => lines.push(line),
      signal: new AbortController().signal,
      ...over,
    },
  };
}

test('without requirements.txt the interpreter itself is the environment', async () => {
  const { request } = await pythonPackage(null);
  expect(await pythonEnvironment(request)).toEqual({ python: here.path, env: {} });
  expect(existsSync(request.environmentsDir)).toBe(false);
});

const noVenv = !here.ensurepip && findProgram('virtualenv', env['PATH'] ?? '') === null;
const asks = '--no-index\n--find-links ./wheels\nmini==1.0\n';

test.skipIf(noVenv)(
  `requirements.txt becomes a virtual environment, built once${noVenv ? ' (skipped: no venv or virtualenv here)' : ''}`,
  async () => {
    const { request, lines } = await pythonPackage(asks);
    const environment = await pythonEnvironment(request);
    expect(await python(environment.python, 'import mini, sys; print(mini.answer, sys.prefix)')).toBe(
      `42 ${environment.env['VIRTUAL_ENV']}`,
    );
    expect(environment.env['PATH']).toMatch(/^\S+\/bin:/);
    expect(lines.some((line) => line.includes('Successfully installed mini-1.0'))).toBe(true);
    const said = lines.length;
    expect(await pythonEnvironment(request)).toEqual(environment);
    expect(lines).toHaveLength(said);
  },
);

test.skipIf(noVenv)(
  `what pip cannot find is said in its own words${noVenv ? ' (skipped: no venv or virtualenv here)' : ''}`,
  async () => {
    const { request } = await pythonPackage('--no-index\nno-such-package==9\n');
    const failure = await pythonEnvironment(request).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'ENVIRONMENT_FAILED',
      message: expect.stringMatching(
        /^cannot install algopkg\/Echo\/requirements.txt: ERROR: No matching distribution.*no-such-package/,
      ),
      data: { details: expect.stringContaining('Could not find a version') },
    });
  },
);

/** Makes an "environment" of a link to the interpreter, and notes how it was asked. */
function fakeTool(name: string): { folder: string; calls: () => string[] } {
  const journal = join(tempDir(), 'calls');
  const folder = program(
    name,
    `echo "$@" >> ${journal}
for last; do :; done
case "$1" in pip) exit 0;; esac
mkdir -p "$last/bin" && printf '#!/bin/sh\\nexit 0\\n' > "$last/bin/python" && chmod +x "$last/bin/python"`,
  );
  return { folder, calls: () => readFileSync(journal, 'utf8').trimEnd().split('\n') };
}

test('uv is used where it is, but not for a Python that it does not know', async () => {
  const uv = fakeTool('uv');
  const virtualenv = fakeTool('virtualenv');
  for (const name of ['sh', 'mkdir', 'chmod']) {
    symlinkSync(findProgram(name, env['PATH'] ?? '') ?? name, join(uv.folder, name));
  }
  const tools = { env: { PATH: `${uv.folder}:${virtualenv.folder}` } };
  const modern = await pythonPackage('x\n', { ...tools, interpreter: { ...here, version: '3.12.1' } });
  await pythonEnvironment(modern.request);
  expect(uv.calls()).toEqual([
    expect.stringMatching(`^venv --python ${here.path} `),
    expect.stringMatching(/^pip install -r requirements.txt --python /),
  ]);
  const old = { ...here, version: '3.6.15', ensurepip: false };
  await pythonEnvironment((await pythonPackage('x\n', { ...tools, interpreter: old })).request);
  expect(uv.calls()).toHaveLength(2);
  expect(virtualenv.calls()).toEqual([expect.stringMatching(`^--python ${here.path} `)]);
});

test('with nothing to make one, it says what to install', async () => {
  const bare = { env: { PATH: tempDir() }, interpreter: { ...here, ensurepip: false } };
  const { request } = await pythonPackage('x\n', bare);
  await expect(pythonEnvironment(request)).rejects.toThrow(
    /algopkg\/Echo has a requirements.txt.*uv .*virtualenv .*apt install python3-venv/,
  );
});

test('the content of files that requirements.txt names is part of the environment', async () => {
  const interpreter = { ...here, ensurepip: false };
  const { folder } = fakeTool('virtualenv');
  const tools = { interpreter, env: { PATH: `${folder}:${env['PATH']}` } };
  const { request } = await pythonPackage('-r more.txt\n', tools);
  const first = await pythonEnvironment(request);
  expect((await pythonEnvironment({ ...request, packageHash: 'q' })).python).not.toBe(first.python);
  writeFileSync(join(request.packageDir, 'requirements.txt'), 'plain\n');
  const plain = await pythonEnvironment(request);
  expect((await pythonEnvironment({ ...request, packageHash: 'q' })).python).toBe(plain.python);
});
