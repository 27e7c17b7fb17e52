import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findProgram } from '../../../src/lib/process/find-program.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';
import { here, makeWheel, python, pythonPackage, withoutUv } from './python-package.ts';

const env = withoutUv;
const cannotBuild = !here.ensurepip && findProgram('virtualenv', env['PATH'] ?? '') === null;
const real = test.skipIf(cannotBuild);
const why = cannotBuild ? ' (skipped: no venv or virtualenv here)' : '';

const NO_INDEX = '--no-index\n--find-links ./wheels\n';

real(`requirements.txt becomes a virtual environment, built once${why}`, async () => {
  const { request, lines, obtain } = pythonPackage({ 'requirements.txt': `${NO_INDEX}mini==1.0\n` });
  await makeWheel(join(request.packageDir, 'wheels'), 'mini', '1.0', 'answer = 42\n');
  const environment = await obtain();
  expect(await python(environment.python, 'import mini, sys; print(mini.answer, sys.prefix)')).toBe(
    `42 ${environment.env['VIRTUAL_ENV']}`,
  );
  expect(environment.env['PATH']).toMatch(/^\S+\/bin:/);
  expect(lines.some((line) => line.includes('Successfully installed mini-1.0'))).toBe(true);
  const said = lines.length;
  expect(await obtain()).toEqual(environment);
  expect(lines).toHaveLength(said);
});

real(`pyproject.toml gives its dependencies, and the package itself is not installed${why}`, async () => {
  const { request, obtain } = pythonPackage(
    { 'pyproject.toml': '[project]\nname = "echo"\nversion = "1"\ndependencies = ["mini >= 1"]\n' },
    { choice: { kind: 'venv', file: 'pyproject.toml' }, wheels: 'wheels' },
  );
  await makeWheel(join(request.packageDir, 'wheels'), 'mini', '1.0', 'answer = 42\n');
  const { python: path } = await obtain();
  expect(await python(path, 'import mini; print(mini.answer)')).toBe('42');
  expect(await python(path, 'import echo')).toContain('ModuleNotFoundError');
});

real(`a folder of wheels is enough where no index can be reached${why}`, async () => {
  const unreachable = { ...env, PIP_INDEX_URL: 'http://127.0.0.1:9/simple', PIP_RETRIES: '0' };
  const { request, lines, obtain } = pythonPackage(
    { 'requirements.txt': 'mini\n' },
    { wheels: 'wheels', env: unreachable },
  );
  const wheels = join(request.packageDir, 'wheels');
  await makeWheel(wheels, 'mini', '1.0', 'answer = 42\n');
  const first = await obtain();
  expect(await python(first.python, 'import mini; print(mini.answer)')).toBe('42');
  expect(lines.some((line) => line.includes('asking the package index'))).toBe(false);
  await makeWheel(wheels, 'mini', '2.0', 'answer = 43\n'); // another wheel is another environment
  const second = await obtain();
  expect(await python(second.python, 'import mini; print(mini.answer)')).toBe('43');
  expect(second.folder).not.toBe(first.folder);
  await expect(obtain({ wheels: '/no/such/wheels' })).rejects.toThrow('/no/such/wheels is not on this node');
});

real(`what pip cannot find is said in its own words${why}`, async () => {
  const { obtain } = pythonPackage({ 'requirements.txt': '--no-index\nno-such-package==9\n' });
  const failure = await obtain().catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'ENVIRONMENT_FAILED',
    message: expect.stringMatching(
      /^cannot install algopkg\/Echo\/requirements.txt: ERROR: No matching distribution.*no-such-package/,
    ),
    data: { details: expect.stringContaining('Could not find a version') },
  });
});

/** Makes an "environment" of a link to the interpreter, and notes how it was asked. */
function fakeTool(name: string): { folder: string; calls: () => string[] } {
  const folder = tempDir();
  const journal = join(folder, 'calls');
  writeFileSync(
    join(folder, name),
    `#!/bin/sh
echo "$@" >> ${journal}
for last; do :; done
case "$1" in pip) exit 0;; esac
mkdir -p "$last/bin" && printf '#!/bin/sh\\nexit 0\\n' > "$last/bin/python" && chmod +x "$last/bin/python"
`,
    { mode: 0o755 },
  );
  return { folder, calls: () => readFileSync(journal, 'utf8').trimEnd().split('\n') };
}

const uvHere = findProgram('uv', baseEnv()['PATH'] ?? '');

test.skipIf(uvHere === null)(
  `uv fills one from wheels, and says what it cannot find${uvHere === null ? ' (skipped: no uv here)' : ''}`,
  async () => {
    const files = { 'requirements.txt': 'mini==1.0\n' };
    const { request, obtain } = pythonPackage(files, {
      wheels: 'wheels',
      env: { ...baseEnv(), UV_OFFLINE: '1' },
    });
    await makeWheel(join(request.packageDir, 'wheels'), 'mini', '1.0', 'answer = 42\n');
    const { python: path } = await obtain();
    expect(await python(path, 'import mini; print(mini.answer)')).toBe('42');
    writeFileSync(join(request.packageDir, 'requirements.txt'), 'no-such-package==9\n');
    await expect(obtain()).rejects.toThrow(
      /cannot install algopkg\/Echo\/requirements.txt: .*no-such-package/,
    );
  },
);

test('uv is used where it is, but not for a Python that it does not know', async () => {
  const uv = fakeTool('uv');
  const virtualenv = fakeTool('virtualenv');
  for (const name of ['sh', 'mkdir', 'chmod']) {
    symlinkSync(findProgram(name, env['PATH'] ?? '') ?? name, join(uv.folder, name));
  }
  const tools = { env: { PATH: `${uv.folder}:${virtualenv.folder}`, HOME: tempDir() } };
  const files = { 'requirements.txt': 'x\n' };
  await pythonPackage(files, { ...tools, interpreter: { ...here, version: '3.12.1' } }).obtain();
  expect(uv.calls()).toEqual([
    expect.stringMatching(`^venv --python ${here.path} `),
    expect.stringMatching(/^pip install -r requirements.txt --python /),
  ]);
  const old = { ...here, version: '3.6.15', ensurepip: false };
  await pythonPackage(files, { ...tools, interpreter: old }).obtain();
  expect(uv.calls()).toHaveLength(2);
  expect(virtualenv.calls()).toEqual([expect.stringMatching(`^--python ${here.path} `)]);
});

test('with nothing to make one, it says what to install', async () => {
  const bare = { env: { PATH: tempDir() }, interpreter: { ...here, ensurepip: false } };
  const { obtain } = pythonPackage({ 'requirements.txt': 'x\n' }, bare);
  await expect(obtain()).rejects.toThrow(
    /algopkg\/Echo has a requirements.txt.*uv .*virtualenv .*apt install python3-venv/,
  );
});

test('an environment is another one when what it is made from is another', async () => {
  const { folder } = fakeTool('virtualenv');
  const { request, obtain } = pythonPackage(
    { 'requirements.txt': '-r more.txt\n', 'more.txt': '-c deep/limits.txt\nmini\n' },
    { interpreter: { ...here, ensurepip: false }, env: { PATH: `${folder}:${env['PATH']}` } },
  );
  mkdirSync(join(request.packageDir, 'deep'));
  const limits = join(request.packageDir, 'deep', 'limits.txt');
  writeFileSync(limits, 'mini < 2\n');
  // Its files are not installable: the fake tool makes one that accepts all.
  const first = await obtain();
  expect((await obtain({ packageHash: 'q' })).folder).toBe(first.folder);
  writeFileSync(limits, 'mini < 3\n');
  expect((await obtain()).folder).not.toBe(first.folder);
  writeFileSync(limits, 'mini < 2\n');
  expect((await obtain()).folder).toBe(first.folder);
  const older = { ...request.interpreter, version: '3.9.18' };
  expect((await obtain({ interpreter: older })).folder).not.toBe(first.folder);
  writeFileSync(join(request.packageDir, 'more.txt'), '-e ./local\n'); // the package's own content counts now
  expect((await obtain()).folder).not.toBe((await obtain({ packageHash: 'q' })).folder);
});
