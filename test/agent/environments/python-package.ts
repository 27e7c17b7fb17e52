import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { obtainEnvironment } from '../../../src/agent/environments/obtain.ts';
import type { PythonEntry } from '../../../src/agent/environments/plan.ts';
import { findInterpreter, type Interpreter } from '../../../src/agent/environments/python-interpreter.ts';
import { planVenv, type VenvRequest } from '../../../src/agent/environments/venv.ts';
import { runCommand } from '../../../src/lib/process/command.ts';
import { SharedWork } from '../../../src/lib/shared-work.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { baseEnv } from '../harness.ts';

/** What children get, but for a uv on the PATH, which would be used in place of pip. */
export const withoutUv: Readonly<Record<string, string>> = {
  ...baseEnv(),
  PATH: (baseEnv()['PATH'] ?? '')
    .split(':')
    .filter((folder) => !existsSync(join(folder, 'uv')))
    .join(':'),
};

/** The first python3 here. */
export const here: Interpreter = await findInterpreter({ wanted: null, projectDir: '/', env: baseEnv() });

/** What Python says to this code. */
export async function python(path: string, code: string): Promise<string> {
  return (await runCommand(path, ['-c', code], { env: baseEnv(), timeoutMs: 60_000 })).output.trim();
}

/** A wheel is a zip with a few files of metadata. */
export async function makeWheel(folder: string, name: string, version: string, code: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const info = `${name}-${version}.dist-info`;
  const files = {
    [`${name}.py`]: code,
    [`${info}/METADATA`]: `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`,
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/RECORD`]: '',
  };
  const path = join(folder, `${name}-${version}-py3-none-any.whl`);
  await python(
    here.path,
    `import json, zipfile
z = zipfile.ZipFile(${JSON.stringify(path)}, "w")
for name, text in json.loads(${JSON.stringify(JSON.stringify(files))}).items(): z.writestr(name, text)
z.close()`,
  );
}

export interface PythonPackage {
  readonly request: VenvRequest;
  readonly environmentsDir: string;
  /** what was said while it was built */
  readonly lines: string[];
  readonly obtain: (over?: Partial<VenvRequest>) => Promise<PythonEntry & { readonly folder: string }>;
}

/** A package with these files, for which a virtual environment can be made. */
export function pythonPackage(
  files: Readonly<Record<string, string>>,
  over: Partial<VenvRequest> = {},
): PythonPackage {
  const root = tempDir();
  const packageDir = join(root, 'algopkg', 'Echo');
  mkdirSync(packageDir, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(packageDir, name), text);
  const lines: string[] = [];
  const environmentsDir = join(root, 'environments');
  const request: VenvRequest = {
    interpreter: here,
    choice: { kind: 'venv', file: 'requirements.txt' },
    packageName: 'Echo',
    packageDir,
    packageHash: 'p',
    wheels: null,
    env: withoutUv,
    ...over,
  };
  const place = { environmentsDir, builds: new SharedWork<string>() };
  return {
    request,
    environmentsDir,
    lines,
    obtain: async (changed = {}) => {
      const wanted = { ...request, ...changed };
      const progress = {
        onProgress: (line: string) => void lines.push(line),
        signal: new AbortController().signal,
      };
      const { entry, folder } = await obtainEnvironment(await planVenv(wanted), wanted, place, progress);
      return { ...entry, folder: folder ?? '' };
    },
  };
}
