import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { type CompiledConf, type CompileResult, compileConf } from '../../src/config/compile.ts';
import { renderFinding } from '../../src/config/finding.ts';

const made: string[] = [];

afterEach(async () => {
  for (const folder of made.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** Makes a folder with these files (by path), removed after the test. */
export async function makeProject(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'modelserve-config-'));
  made.push(folder);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  return folder;
}

/** A project with a Python package Echo, a TypeScript package Iris and two models. */
export const PACKAGES = {
  'algopkg/Echo/backend.py': 'class EchoBackend(object):\n    pass\n',
  'algopkg/Iris/backend.ts': 'export class IrisBackend {}\n',
  'Model_ZOO/echo_v1.onnx': 'weights',
  'Model_ZOO/sub/labels.json': '[]',
};

/** Compiles a conf.ini text in a project of these files. */
export async function compileText(
  confText: string,
  files: Readonly<Record<string, string>> = PACKAGES,
): Promise<CompileResult> {
  const folder = await makeProject({ ...files, 'conf.ini': confText });
  return compileConf(join(folder, 'conf.ini'));
}

/** What the messages say, with the project's folder taken out; throws when there is no mistake. */
export async function mistakesOf(
  confText: string,
  files?: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const result = await compileText(confText, files);
  if (result.ok) throw new Error(`compiled without a mistake: ${JSON.stringify(result.conf.deployments)}`);
  return result.mistakes.map((mistake) => withoutFolder(renderFinding(mistake)));
}

export async function warningsOf(
  confText: string,
  files?: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const { warnings } = await compiled(confText, files);
  return warnings.map((warning) => withoutFolder(renderFinding(warning)));
}

/** The compiled conf; throws with the messages when there is a mistake. */
export async function compiled(
  confText: string,
  files?: Readonly<Record<string, string>>,
): Promise<CompiledConf> {
  const result = await compileText(confText, files);
  if (result.ok) return result.conf;
  throw new Error(result.mistakes.map(renderFinding).join('\n'));
}

function withoutFolder(message: string): string {
  return made.reduce((text, folder) => text.replaceAll(`${folder}/`, ''), message);
}
