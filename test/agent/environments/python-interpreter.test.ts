import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findInterpreter, type Interpreter } from '../../../src/agent/environments/python-interpreter.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
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
    const answer = JSON.stringify({
      path: join(bin, 'python'),
      version,
      platform: 'x',
      ensurepip: true,
      pip: '',
    });
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
  const answer = JSON.stringify({ path: '/p', version: '2.7.18', platform: 'x', ensurepip: false, pip: '' });
  const folder = program('python3', `echo '${answer}'`);
  await expect(find(null, { PATH: folder, PYENV_ROOT: folder })).rejects.toThrow('no python3 (3.6 or newer)');
});
