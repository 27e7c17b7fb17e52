import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type NpmRequest, planNpm } from '../../../src/agent/environments/npm.ts';
import { obtainEnvironment } from '../../../src/agent/environments/obtain.ts';
import { stageCode } from '../../../src/agent/environments/stage.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { SharedWork } from '../../../src/lib/shared-work.ts';
import { readDependencyFiles } from '../../../src/packages/dependency-files.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';

interface JavascriptPackage {
  readonly environmentsDir: string;
  readonly lines: string[];
  /** the folder that its code can be run from */
  readonly obtain: (over?: Partial<NpmRequest>) => Promise<string>;
}

/** A package Echo with these files, read-only as in a snapshot. */
function javascriptPackage(files: Readonly<Record<string, string>>): JavascriptPackage {
  const root = tempDir();
  const packageDir = join(root, 'snapshot', 'algopkg', 'Echo');
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(packageDir, name, '..'), { recursive: true });
    writeFileSync(join(packageDir, name), text, { mode: 0o444 });
  }
  chmodSync(packageDir, 0o555);
  const inPlace = { packageName: 'Echo', packageDir, packageHash: 'p' };
  const lines: string[] = [];
  const progress = {
    onProgress: (line: string) => void lines.push(line),
    signal: new AbortController().signal,
  };
  const place = { environmentsDir: join(root, 'environments'), builds: new SharedWork<string>() };
  return {
    environmentsDir: place.environmentsDir,
    lines,
    obtain: async (over = {}) => {
      const { npm: file } = await readDependencyFiles(packageDir);
      const plan = await planNpm({
        ...inPlace,
        choice: { kind: 'npm', file },
        nodePath: process.execPath,
        nodeVersion: process.versions.node,
        env: baseEnv(),
        ...over,
      });
      const { entry } = await obtainEnvironment(plan, inPlace, place, progress);
      const staged = await stageCode(inPlace, entry.modules, {
        ...{ stageDir: join(root, 'stage'), progress, user: null },
      });
      return staged.codeDir;
    },
  };
}

const manifest = (dependencies: Record<string, string>): string =>
  JSON.stringify({ name: 'echo', type: 'module', dependencies });

const LOCAL = {
  'package.json': manifest({ mini: 'file:./mini' }),
  'mini/package.json': JSON.stringify({
    name: 'mini',
    version: '1.0.0',
    type: 'module',
    exports: './mini.js',
  }),
  'mini/mini.js': 'export const answer = 42;\n',
  'backend.js': 'import { answer } from "mini";\nconsole.log(answer);\n',
};

async function runBackend(codeDir: string): Promise<string> {
  const run = await runCommand(process.execPath, [join(codeDir, 'algopkg', 'Echo', 'backend.js')], {
    env: {},
    timeoutMs: 20_000,
  });
  return run.output.trim();
}

test('a package without dependencies is staged as it is, writable for what is compiled beside it', async () => {
  const { environmentsDir, obtain } = javascriptPackage({
    'backend.js': 'console.log("plain")\n',
    'lib/a.js': '',
  });
  const codeDir = await obtain();
  expect(await runBackend(codeDir)).toBe('plain');
  writeFileSync(join(codeDir, 'algopkg', 'Echo', 'lib', 'a.js'), 'changed');
  expect(existsSync(environmentsDir)).toBe(false);
  expect(await obtain()).toBe(codeDir);
});

test('dependencies are installed by npm, once per content, and found from the staged code', async () => {
  const { environmentsDir, lines, obtain } = javascriptPackage(LOCAL);
  const codeDir = await obtain();
  expect(await runBackend(codeDir)).toBe('42');
  expect(lines.find((line) => line.startsWith('$ '))).toMatch(/npm install --omit=dev/);
  expect(lines.some((line) => line.startsWith('warning: the package has no lock file'))).toBe(true);
  const modules = realpathSync(join(codeDir, 'algopkg', 'Echo', 'node_modules'));
  expect(modules.startsWith(realpathSync(environmentsDir))).toBe(true);
  const said = lines.length;
  expect(await obtain()).toBe(codeDir);
  expect(lines).toHaveLength(said);
});

test('with a lock file the installation is npm ci', async () => {
  const { environmentsDir, obtain } = javascriptPackage({
    ...LOCAL,
    'package-lock.json': '{"lockfileVersion": 3, "packages": {}}',
  });
  const failure = await obtain().catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'ENVIRONMENT_FAILED',
    message: expect.stringMatching(
      /^npm cannot install the dependencies of algopkg\/Echo\/package.json: npm error .*npm ci/,
    ),
  });
  const [folder = ''] = readdirSync(environmentsDir);
  expect(readFileSync(join(environmentsDir, folder, 'build.log'), 'utf8')).toMatch(/npm ci --omit=dev/);
});

test('a package.json that is none is named', async () => {
  const { obtain } = javascriptPackage({ 'package.json': '{' });
  await expect(obtain()).rejects.toThrow(/algopkg\/Echo\/package.json cannot be read/);
});

/** A program that notes how it was called, and in which environment. */
function fakeInstaller(name: string): { readonly folder: string; readonly calls: () => string } {
  const folder = tempDir();
  const journal = join(folder, 'calls');
  const script = `#!/bin/sh\necho "$@ $YARN_NODE_LINKER" >> ${journal}\nmkdir node_modules\n`;
  writeFileSync(join(folder, name), script, { mode: 0o755 });
  return { folder, calls: () => readFileSync(journal, 'utf8').trim() };
}

const lockKinds: readonly (readonly [file: string, lock: string, program: string, call: string])[] = [
  ['pnpm-lock.yaml', 'lockfileVersion: 9', 'pnpm', 'install --prod --frozen-lockfile'],
  ['yarn.lock', '# yarn lockfile v1', 'yarn', 'install --production --frozen-lockfile --non-interactive'],
  ['yarn.lock', '__metadata:\n  version: 8', 'yarn', 'install --immutable node-modules'],
];

test.each(lockKinds)('%s (%s) is installed by %s', async (file, lock, program, call) => {
  const { obtain } = javascriptPackage({ 'package.json': manifest({ x: '1' }), [file]: lock });
  const without = { ...baseEnv(), PATH: '/usr/bin:/bin' };
  const nodePath = '/nowhere/bin/node';
  if (!existsSync(join('/usr/bin', program))) {
    await expect(obtain({ env: without, nodePath })).rejects.toThrow(
      `algopkg/Echo has a ${file}, but ${program} is neither beside /nowhere/bin/node nor on the PATH; install ${program}`,
    );
  }
  const installer = fakeInstaller(program);
  await obtain({ env: { ...without, PATH: `${installer.folder}:/usr/bin:/bin` }, nodePath });
  expect(installer.calls()).toBe(call);
});
