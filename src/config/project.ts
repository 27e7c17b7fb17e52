import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Language } from '../cluster/spec/types.ts';
import { codeOf, messageOf } from '../lib/errors.ts';
import type { ClassSearch } from './class-search.ts';
import { type FindingDraft, quoted } from './finding.ts';
import { searchJavascriptClass } from './javascript-names.ts';
import { isModelUri, localModelName, publicUri } from './model-uri.ts';
import { didYouMean, nearest } from './nearest.ts';
import { searchPythonClass } from './python-names.ts';

/** Files that hold a package's class; a package has one of them. */
const BACKEND_FILES: readonly (readonly [file: string, language: Language])[] = [
  ['backend.py', 'python'],
  ['backend.ts', 'javascript'],
  ['backend.mts', 'javascript'],
  ['backend.js', 'javascript'],
  ['backend.mjs', 'javascript'],
  ['backend.cjs', 'javascript'],
];

/** The folders beside conf.ini, and what they held when it was read. */
export interface Project {
  readonly projectDir: string;
  readonly packagesDir: string;
  readonly modelRoot: string;
  /** names of the folders in `packagesDir`; null: there is no such folder */
  readonly packages: readonly string[] | null;
}

/** A folder that is missing is no error here: only a section that needs it makes that one. */
export async function openProject(projectDir: string): Promise<Project> {
  const packagesDir = join(projectDir, 'algopkg');
  const entries = await readdir(packagesDir, { withFileTypes: true }).catch(() => null);
  const packages = entries
    ?.filter((entry) => !entry.isFile() && /^\w/.test(entry.name) && entry.name !== '__pycache__')
    .map((entry) => entry.name)
    .sort();
  return { projectDir, packagesDir, modelRoot: join(projectDir, 'Model_ZOO'), packages: packages ?? null };
}

/** What a section names in the project's folders, and where it does. */
export interface Reference {
  readonly section: string;
  readonly sectionLine: number;
  readonly packageName: string;
  /** null: the key is missing or wrong, which was said before */
  readonly backend: { readonly name: string; readonly line: number } | null;
  readonly models: { readonly names: readonly string[]; readonly line: number };
}

/** What is there of what a section names. */
interface ReferenceCheck {
  /** null: there is no backend file */
  readonly language: Language | null;
  readonly mistakes: readonly FindingDraft[];
  readonly warnings: readonly FindingDraft[];
}

/** Looks for the package, its backend file, the class and the model files of a section. */
export async function checkReferences(project: Project, reference: Reference): Promise<ReferenceCheck> {
  const models = await checkModels(project, reference);
  const place = { line: reference.sectionLine, section: reference.section, key: null };
  if (!(await isFolder(join(project.packagesDir, reference.packageName)))) {
    const missing = { ...place, ...describeMissingPackage(project, reference.packageName) };
    return { language: null, mistakes: [missing, ...models], warnings: [] };
  }
  const backend = await findBackend(project, reference.packageName);
  if ('mistake' in backend) {
    return { language: null, mistakes: [{ ...place, ...backend.mistake }, ...models], warnings: [] };
  }
  const check = await checkClass(backend, reference);
  return {
    language: backend.language,
    mistakes: [...check.mistakes, ...models],
    warnings: check.warnings,
  };
}

type Description = Pick<FindingDraft, 'expected' | 'found' | 'hint'>;

function describeMissingPackage(project: Project, name: string): Description {
  const expected = `the package's folder, algopkg/${name}`;
  if (project.packages === null) {
    return { expected, found: 'no folder algopkg', hint: `it should be ${project.packagesDir}` };
  }
  return { expected, found: 'no such folder', hint: suggest(name, project.packages) };
}

interface Backend {
  /** as people name it: `algopkg/Echo/backend.py` */
  readonly label: string;
  readonly path: string;
  readonly language: Language;
}

async function findBackend(
  project: Project,
  packageName: string,
): Promise<Backend | { readonly mistake: Description }> {
  const found: Backend[] = [];
  for (const [file, language] of BACKEND_FILES) {
    const path = join(project.packagesDir, packageName, file);
    if (await isFile(path)) found.push({ label: `algopkg/${packageName}/${file}`, path, language });
  }
  const expected = `one of ${BACKEND_FILES.map(([file]) => file).join(', ')} in algopkg/${packageName}`;
  const [first, second] = found;
  if (first === undefined) {
    const hint = '`modelserve init NAME` makes a package that works';
    return { mistake: { expected, found: 'none of them', hint } };
  }
  if (second === undefined) return first;
  const both = `both ${first.label} and ${second.label}`;
  return { mistake: { expected, found: both, hint: 'remove one of the two' } };
}

async function checkClass(
  backend: Backend,
  reference: Reference,
): Promise<Pick<ReferenceCheck, 'mistakes' | 'warnings'>> {
  if (reference.backend === null) return { mistakes: [], warnings: [] };
  const { name, line } = reference.backend;
  const place = { line, section: reference.section, key: 'backend', expected: `a class in ${backend.label}` };
  const search = await searchClass(backend, name);
  if ('unreadable' in search) {
    return {
      mistakes: [{ ...place, found: 'a file that cannot be read', hint: search.unreadable }],
      warnings: [],
    };
  }
  if (search.verdict === 'defined') return { mistakes: [], warnings: [] };
  if (search.verdict === 'missing') {
    const hint = search.hint || suggest(name, search.classes);
    return { mistakes: [{ ...place, found: `no ${quoted(name)}`, hint }], warnings: [] };
  }
  const found = `none that is certain to be ${quoted(name)}`;
  const hint = 'it may be imported or made while the file runs; `modelserve check` tells';
  return { mistakes: [], warnings: [{ ...place, found, hint }] };
}

async function searchClass(
  backend: Backend,
  name: string,
): Promise<ClassSearch | { readonly unreadable: string }> {
  try {
    const source = await readFile(backend.path, 'utf8');
    return backend.language === 'python'
      ? searchPythonClass(source, name)
      : searchJavascriptClass(source, name);
  } catch (error) {
    return { unreadable: messageOf(error) };
  }
}

async function checkModels(project: Project, reference: Reference): Promise<readonly FindingDraft[]> {
  const { names, line } = reference.models;
  const place = { line, section: reference.section, key: 'model' };
  const mistakes: FindingDraft[] = sharedNames(names).map((found) => ({
    ...place,
    expected: 'models under names of their own',
    found,
    hint: 'the class finds each by the last segment of its URI: rename one on its server',
  }));
  for (const name of names) {
    if (isModelUri(name)) continue;
    const path = join(project.modelRoot, name);
    if (await isFile(path)) continue;
    const expected = `a file ${quoted(name)} in Model_ZOO`;
    if (await isFolder(path)) {
      mistakes.push({ ...place, expected, found: 'a folder', hint: 'name the files in it' });
    } else if (!(await isFolder(project.modelRoot))) {
      const hint = `it should be ${project.modelRoot}`;
      mistakes.push({ ...place, expected, found: 'no folder Model_ZOO', hint });
    } else {
      const files = await listModels(project.modelRoot);
      mistakes.push({ ...place, expected, found: 'no such file', hint: suggest(name, files) });
    }
  }
  return mistakes;
}

/** A URI and another model that user code would find at the same place, or one in the other. */
function sharedNames(names: readonly string[]): readonly string[] {
  const distinct = [...new Set(names)];
  return distinct.filter(isModelUri).flatMap((uri, index, uris) => {
    const local = localModelName(uri);
    const others = distinct.filter((name) => !isModelUri(name) || uris.indexOf(name) > index);
    return others
      .filter((name) => localModelName(name).split('/')[0] === local)
      .map((name) => `both ${quoted(publicUri(uri))} and ${quoted(publicUri(name))} as ${quoted(local)}`);
  });
}

/** Enough for a suggestion; a model folder may hold very many files. */
const MOST_MODELS_LISTED = 2000;

async function listModels(modelRoot: string): Promise<readonly string[]> {
  const names: string[] = [];
  const folders = [''];
  for (const folder of folders) {
    const entries = await readdir(join(modelRoot, folder), { withFileTypes: true }).catch(() => []);
    for (const entry of entries.filter(({ name }) => !name.startsWith('.'))) {
      const name = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(name);
      else names.push(name);
    }
    if (names.length + folders.length > MOST_MODELS_LISTED) break;
  }
  return names.sort();
}

const MOST_NAMED = 8;

function suggest(wanted: string, names: readonly string[]): string {
  if (names.length === 0) return 'there is none';
  if (nearest(wanted, names) !== null) return didYouMean(wanted, names);
  const more = names.length > MOST_NAMED ? ' …' : '';
  return `there ${names.length === 1 ? 'is' : 'are'} ${names.slice(0, MOST_NAMED).join(', ')}${more}`;
}

async function isFile(path: string): Promise<boolean> {
  return (await kindOf(path)) === 'file';
}

async function isFolder(path: string): Promise<boolean> {
  return (await kindOf(path)) === 'folder';
}

/** What cannot be looked at (no right to, a name no file can have) is not there, as far as a replica would see. */
async function kindOf(path: string): Promise<'file' | 'folder' | 'other'> {
  try {
    const entry = await stat(path);
    if (entry.isFile()) return 'file';
    return entry.isDirectory() ? 'folder' : 'other';
  } catch (error) {
    if (codeOf(error) === null) throw error;
    return 'other';
  }
}
