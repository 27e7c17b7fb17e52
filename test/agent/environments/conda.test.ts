import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CondaRequest, planConda, planNamedConda } from '../../../src/agent/environments/conda.ts';
import { condaEnvironments, condaTools } from '../../../src/agent/environments/conda-places.ts';
import { obtainEnvironment } from '../../../src/agent/environments/obtain.ts';
import type { PythonEntry } from '../../../src/agent/environments/plan.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { SharedWork } from '../../../src/lib/shared-work.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';
import { here, python } from './python-package.ts';

const env = baseEnv();

/** An environment as conda lays it out, around a Python that is here. */
async function condaPrefix(prefix: string): Promise<void> {
  await runCommand(here.path, ['-m', 'venv', '--without-pip', prefix], { env, timeoutMs: 60_000 });
  mkdirSync(join(prefix, 'conda-meta'), { recursive: true });
}

test('an environment is found by its name, below each root and among those conda wrote down', async () => {
  const home = tempDir();
  const elsewhere = join(tempDir(), 'elsewhere');
  await condaPrefix(join(home, 'miniconda3', 'envs', 'algo'));
  await condaPrefix(elsewhere);
  mkdirSync(join(home, 'miniconda3', 'envs', 'without-python', 'conda-meta'), { recursive: true });
  mkdirSync(join(home, '.conda'));
  writeFileSync(join(home, '.conda', 'environments.txt'), `${elsewhere}\n/gone\n`);
  const found = condaEnvironments({ ...env, HOME: home });
  expect([...found.keys()].sort()).toEqual(['algo', 'elsewhere']);
  expect(() => planNamedConda({ kind: 'conda-named', name: 'algo2' }, { ...env, HOME: home })).toThrow(
    'no conda environment algo2 with Python on this node (there are algo, elsewhere)',
  );
});

test('a named environment is entered as activating it would', async () => {
  const home = tempDir();
  const prefix = join(home, 'micromamba', 'envs', 'algo');
  await condaPrefix(prefix);
  const scripts = join(prefix, 'etc', 'conda', 'activate.d');
  mkdirSync(scripts, { recursive: true });
  writeFileSync(join(scripts, 'gdal.sh'), 'echo loud; export GDAL_DATA="$CONDA_PREFIX/share/g dal"\n');
  writeFileSync(
    join(prefix, 'conda-meta', 'state'),
    JSON.stringify({ env_vars: { COLOUR: 'red', GONE: '***unset***' } }),
  );
  const plan = planNamedConda({ kind: 'conda-named', name: 'algo' }, { ...env, HOME: home });
  expect(plan.description).toBe(`conda:algo (${prefix})`);
  const entry = await plan.enter('');
  expect(entry.env).toEqual({
    CONDA_PREFIX: prefix,
    CONDA_DEFAULT_ENV: prefix,
    PATH: `${prefix}/bin:${env['PATH']}`,
    COLOUR: 'red',
    GDAL_DATA: `${prefix}/share/g dal`,
  });
  expect(await python(entry.python, 'import sys; print(sys.prefix)')).toBe(prefix);
  writeFileSync(join(scripts, 'broken.sh'), 'exit 3\n');
  await expect(plan.enter('')).rejects.toThrow('cannot be activated');
});

/** A program of that name that makes an "environment" by copying one, and notes how it was called. */
function fakeTool(name: string, source: string): { readonly folder: string; readonly calls: () => string } {
  const folder = tempDir();
  const journal = join(folder, 'calls');
  const script = `#!/bin/sh
echo "$@" >> ${journal}
while [ "$1" != --prefix ]; do shift; done
[ -e "$2" ] && { echo "CondaValueError: prefix already exists: $2"; exit 1; }
grep -q nowhere environment.yml && { echo "error    libmamba Could not solve: nowhere does not exist"; exit 1; }
cp -r ${source} "$2"
`;
  writeFileSync(join(folder, name), script, { mode: 0o755 });
  return { folder, calls: () => readFileSync(journal, 'utf8').trim() };
}

interface CondaPackage {
  readonly packageDir: string;
  readonly obtain: (env: CondaRequest['env'], packageHash?: string) => Promise<PythonEntry>;
}

function condaPackage(environmentYml: string): CondaPackage {
  const root = tempDir();
  const packageDir = join(root, 'algopkg', 'Echo');
  mkdirSync(packageDir, { recursive: true });
  writeFileSync(join(packageDir, 'environment.yml'), environmentYml);
  const place = { environmentsDir: join(root, 'environments'), builds: new SharedWork<string>() };
  return {
    packageDir,
    obtain: async (toolEnv, packageHash = 'p') => {
      const inPlace = { packageName: 'Echo', packageDir, packageHash };
      const choice = { kind: 'conda', file: 'environment.yml' } as const;
      const plan = await planConda({ ...inPlace, choice, env: toolEnv });
      const progress = { onProgress: () => undefined, signal: new AbortController().signal };
      return (await obtainEnvironment(plan, inPlace, place, progress)).entry;
    },
  };
}

const commands: readonly (readonly [tool: string, command: RegExp])[] = [
  ['micromamba', /^create --yes --prefix \S+\/prefix --file environment.yml$/],
  ['mamba', /^env create --prefix \S+\/prefix --file environment.yml$/],
  ['conda', /^env create --prefix \S+\/prefix --file environment.yml$/],
];

test.each(commands)('environment.yml is made by %s, once per content', async (name, command) => {
  const source = join(tempDir(), 'source');
  await condaPrefix(source);
  const tool = fakeTool(name, source);
  const { packageDir, obtain } = condaPackage('dependencies: [python]\n');
  const withTool = { PATH: `${tool.folder}:/usr/bin:/bin`, HOME: tempDir() };
  const entry = await obtain(withTool);
  expect(tool.calls()).toMatch(command);
  expect(await python(entry.python, 'print(1)')).toBe('1');
  expect(await obtain(withTool, 'q')).toEqual(entry);
  writeFileSync(join(packageDir, 'environment.yml'), 'dependencies: [nowhere]\n');
  await expect(obtain(withTool)).rejects.toThrow(
    /cannot make the environment of algopkg\/Echo\/environment.yml: .*nowhere/,
  );
});

test('tools are found by their variables and in usual places, the quickest first', () => {
  const home = tempDir();
  const bin = join(home, 'miniforge3', 'bin');
  mkdirSync(bin, { recursive: true });
  for (const name of ['conda', 'mamba']) symlinkSync('/bin/true', join(bin, name));
  const own = join(tempDir(), 'micromamba');
  symlinkSync('/bin/true', own);
  const where = { HOME: home, PATH: '', MAMBA_EXE: own };
  expect(condaTools(where)).toEqual([
    { name: 'micromamba', path: own },
    { name: 'mamba', path: join(bin, 'mamba') },
    { name: 'conda', path: join(bin, 'conda') },
  ]);
});

test('without a tool, it says what to install', async () => {
  const { obtain } = condaPackage('dependencies: [python]\n');
  await expect(obtain({ HOME: tempDir(), PATH: '' })).rejects.toThrow(
    /algopkg\/Echo has environment.yml, but neither micromamba, mamba nor conda/,
  );
});

const realTool = condaTools(env)[0];

test.skipIf(realTool === undefined)(
  `an environment.yml of a real conda${realTool === undefined ? ' (skipped: no conda, mamba or micromamba here)' : ''}`,
  async () => {
    const { obtain } = condaPackage('channels: [conda-forge]\ndependencies: [python=3.11]\n');
    expect(await python((await obtain(env)).python, 'import sys; print(sys.version_info[1])')).toBe('11');
  },
  600_000,
);
