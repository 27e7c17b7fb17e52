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
import { type NodeRequest, nodeEnvironment } from '../../../src/agent/environments/node-environment.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';

/** A package Echo with these files, read-only as in a snapshot. */
function nodePackage(files: Record<string, string>): NodeRequest {
  const root = tempDir();
  const packageDir = join(root, 'snapshot', 'algopkg', 'Echo');
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(packageDir, name, '..'), { recursive: true });
    writeFileSync(join(packageDir, name), text, { mode: 0o444 });
  }
  chmodSync(packageDir, 0o555);
  return {
    nodePath: process.execPath,
    nodeVersion: process.versions.node,
    packageName: 'Echo',
    packageDir,
    packageHash: 'p',
    environmentsDir: join(root, 'environments'),
    stageDir: join(root, 'stage'),
    env: baseEnv(),
    onProgress: () => undefined,
    signal: new AbortController().signal,
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
  const request = nodePackage({ 'backend.js': 'console.log("plain")\n', 'lib/a.js': '' });
  const codeDir = await nodeEnvironment(request);
  expect(await runBackend(codeDir)).toBe('plain');
  writeFileSync(join(codeDir, 'algopkg', 'Echo', 'lib', 'a.js'), 'changed');
  expect(existsSync(request.environmentsDir)).toBe(false);
  expect(await nodeEnvironment(request)).toBe(codeDir);
});

test('dependencies are installed by npm, once per content, and found from the staged code', async () => {
  const request = nodePackage(LOCAL);
  const lines: string[] = [];
  const onProgress = (line: string): void => void lines.push(line);
  const codeDir = await nodeEnvironment({ ...request, onProgress });
  expect(await runBackend(codeDir)).toBe('42');
  expect(lines.find((line) => line.startsWith('$ '))).toMatch(/npm install --omit=dev/);
  const modules = realpathSync(join(codeDir, 'algopkg', 'Echo', 'node_modules'));
  expect(modules.startsWith(realpathSync(request.environmentsDir))).toBe(true);
  const said = lines.length;
  expect(await nodeEnvironment({ ...request, onProgress })).toBe(codeDir);
  expect(lines).toHaveLength(said);
});

test('with a lock file the installation is npm ci', async () => {
  const request = nodePackage({ ...LOCAL, 'package-lock.json': '{"lockfileVersion": 3, "packages": {}}' });
  const failure = await nodeEnvironment(request).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'ENVIRONMENT_FAILED',
    message: expect.stringMatching(
      /^npm cannot install the dependencies of algopkg\/Echo\/package.json: npm error .*npm ci/,
    ),
  });
  const [folder = ''] = readdirSync(request.environmentsDir);
  expect(readFileSync(join(request.environmentsDir, folder, 'build.log'), 'utf8')).toMatch(
    /npm ci --omit=dev/,
  );
});

test('a package.json that is none is named', async () => {
  const request = nodePackage({ 'package.json': '{' });
  await expect(nodeEnvironment(request)).rejects.toThrow('algopkg/Echo/package.json is no JSON object');
});
