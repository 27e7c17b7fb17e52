import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { codeOf, ServeError } from '../lib/errors.ts';
import { packageRoot } from '../lib/package-root.ts';

export type TemplateLanguage = 'python' | 'typescript';

export interface InitRequest {
  /** of the package: a folder and, in Python, a module */
  readonly name: string;
  readonly language: TemplateLanguage;
  /** the `algopkg` folder; it is made where it is missing */
  readonly packagesDir: string;
}

export interface InitResult {
  /** absolute paths of what was written */
  readonly files: readonly string[];
  /** the section to add to conf.ini */
  readonly section: string;
}

/** Class in the template's backend file. */
const CLASSES: Readonly<Record<TemplateLanguage, string>> = {
  python: 'algo_backend',
  typescript: 'AlgoBackend',
};
/** Stands for the name of the package in the template's files. */
const NAME_MARK = 'PACKAGE_NAME';
const NAME_PATTERN = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
/** They cannot be module names, and a package in one language shall have a name that is free in the other. */
const PYTHON_KEYWORDS = new Set(
  (
    'and as assert async await break class continue def del elif else except finally for from global if import in is ' +
    'lambda nonlocal not or pass raise return try while with yield True False None'
  ).split(' '),
);

/**
 * Writes a package from the template of its language, all of it or nothing.
 * @throws ServeError PACKAGE_NAME_INVALID; PACKAGE_EXISTS where there is something of that name: nothing is overwritten
 */
export async function initPackage(request: InitRequest): Promise<InitResult> {
  checkName(request.name);
  const target = join(request.packagesDir, request.name);
  const draft = `${target}.init-${process.pid}`;
  const source = join(packageRoot(), 'templates', request.language);
  try {
    const names = await copyTemplate(source, draft, request.name);
    await claim(draft, target);
    return { files: names.map((name) => join(target, name)), section: sectionFor(request) };
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

function checkName(name: string): void {
  if (NAME_PATTERN.test(name) && !PYTHON_KEYWORDS.has(name)) return;
  throw new ServeError(
    `${JSON.stringify(name)} cannot be the name of a package: expected a letter, then letters, digits and _ (at most 64, no Python keyword), such as FaceDetection`,
    { code: 'PACKAGE_NAME_INVALID' },
  );
}

async function copyTemplate(source: string, draft: string, name: string): Promise<readonly string[]> {
  const entries = await readdir(source, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.pyc'))
    .map((entry) => relative(source, join(entry.parentPath, entry.name)))
    .sort();
  for (const file of names) {
    const text = await readFile(join(source, file), 'utf8');
    await mkdir(dirname(join(draft, file)), { recursive: true });
    // npm takes names in lower case only.
    const mark = file === 'package.json' ? name.toLowerCase() : name;
    await writeFile(join(draft, file), text.replaceAll(NAME_MARK, mark));
  }
  return names;
}

/** A folder can only be renamed to a name that is free, or that of an empty folder. */
async function claim(draft: string, target: string): Promise<void> {
  try {
    await rename(draft, target);
  } catch (cause) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOTDIR'].includes(codeOf(cause) ?? '')) throw cause;
    const message = `${target} is there already: choose another name, or remove it first`;
    throw new ServeError(message, { code: 'PACKAGE_EXISTS' }, { cause });
  }
}

function sectionFor(request: InitRequest): string {
  return [
    `[algopkg.${request.name}]`,
    `backend = ${CLASSES[request.language]}`,
    'model =',
    'replicas = 1',
    'gpu_cost = 0',
    `route = ${request.name.toLowerCase()}`,
    'method = GET',
    '',
  ].join('\n');
}
