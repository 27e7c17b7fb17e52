import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ClusterSettings, DeploymentSpec } from '../cluster/spec/types.ts';
import { codeOf } from '../lib/errors.ts';
import type { Finding, FindingDraft } from './finding.ts';
import { type IniSection, readIniLines } from './ini-lines.ts';
import { checkModelcar } from './modelcar.ts';
import { openProject, type Project } from './project.ts';
import { type DeploymentReading, findSharedRoutes, readDeployment } from './read-deployment.ts';
import { findUnknownKeys, readFields } from './read-section.ts';
import { SETTINGS_KEYS, SETTINGS_SECTION } from './schema.ts';
import { nameSection } from './section-name.ts';
import { whyUnreadable } from './unreadable.ts';

export type { Finding };

/** A conf.ini without mistakes. */
export interface CompiledConf {
  /** absolute */
  readonly confPath: string;
  readonly confText: string;
  /** absolute folder of conf.ini */
  readonly projectDir: string;
  /** `<projectDir>/algopkg` */
  readonly packagesDir: string;
  /** `<projectDir>/Model_ZOO` */
  readonly modelRoot: string;
  readonly settings: ClusterSettings;
  readonly deployments: readonly DeploymentSpec[];
  readonly warnings: readonly Finding[];
}

export type CompileResult =
  | { readonly ok: true; readonly conf: CompiledConf }
  | {
      readonly ok: false;
      /** all of them, by line */
      readonly mistakes: readonly Finding[];
      readonly warnings: readonly Finding[];
    };

/**
 * Reads a conf.ini and looks at the folders beside it. Whatever is wrong with them is in the result; it throws only
 * when the disk fails. Capacity is not looked at.
 */
export async function compileConf(confPath: string): Promise<CompileResult> {
  const path = resolve(confPath);
  let confText: string;
  try {
    confText = await readFile(path, 'utf8');
  } catch (error) {
    return { ok: false, mistakes: [describeUnreadable(confPath, error)], warnings: [] };
  }
  return await compileText(confPath, confText);
}

/** The same for a text that would be the content of a conf.ini at that place, whether or not there is one. */
export async function compileText(confPath: string, confText: string): Promise<CompileResult> {
  const path = resolve(confPath);
  const project = await openProject(dirname(path));
  const reading = await readConf(confText, project);
  const place = (drafts: readonly FindingDraft[]): readonly Finding[] =>
    drafts
      .map((draft) => ({ file: confPath, ...draft }))
      .sort((left, right) => (left.line ?? 0) - (right.line ?? 0));
  const warnings = place(reading.warnings);
  const { settings, deployments } = reading;
  if (settings === null || reading.mistakes.length > 0) {
    return { ok: false, mistakes: place(reading.mistakes), warnings };
  }
  const { projectDir, packagesDir, modelRoot } = project;
  const folders = { confPath: path, confText, projectDir, packagesDir, modelRoot };
  return { ok: true, conf: { ...folders, settings, deployments, warnings } };
}

interface ConfReading {
  /** null: a key of `[MODEL SERVE]` is wrong */
  readonly settings: ClusterSettings | null;
  /** those without mistakes */
  readonly deployments: readonly DeploymentSpec[];
  readonly mistakes: readonly FindingDraft[];
  readonly warnings: readonly FindingDraft[];
}

async function readConf(confText: string, project: Project): Promise<ConfReading> {
  const lines = readIniLines(confText);
  const mistakes = [...lines.mistakes, ...(confText.trim() === '' ? [EMPTY] : [])];
  const read: DeploymentReading[] = [];
  let settingsSection: IniSection = { name: SETTINGS_SECTION, line: 1, entries: [] };
  for (const section of lines.sections) {
    const name = nameSection(section, project.packages ?? []);
    if (name.kind === 'unknown') {
      mistakes.push(name.mistake);
      continue;
    }
    mistakes.push(...findUnknownKeys(section, name.kind));
    if (name.kind === 'settings') settingsSection = section;
    else read.push(await readDeployment(section, name, project));
  }
  const settings = readFields(SETTINGS_KEYS, settingsSection, '');
  const modelcar = checkModelcar(settingsSection, lines.sections);
  mistakes.push(...settings.mistakes, ...modelcar.mistakes, ...findSharedRoutes(read));
  mistakes.push(...read.flatMap((each) => each.mistakes));
  const warnings = [...modelcar.warnings, ...read.flatMap((each) => each.warnings)];
  if (read.length === 0 && mistakes.length === 0) warnings.push(NOTHING_SERVED);
  const deployments = read.flatMap(({ spec }) => (spec === null ? [] : [spec]));
  return { settings: settings.complete, deployments, mistakes, warnings };
}

/** What an editor or a full disk leaves of a file is not taken for the wish to remove all that is served. */
const EMPTY: FindingDraft = {
  line: 1,
  section: null,
  key: null,
  expected: 'a configuration',
  found: 'an empty file',
  hint: `to serve nothing on purpose, leave [${SETTINGS_SECTION}] in it`,
};

const NOTHING_SERVED: FindingDraft = {
  line: null,
  section: null,
  key: null,
  expected: 'a section [algopkg.PACKAGE] for each package to serve',
  found: 'none',
  hint: 'nothing is served',
};

function describeUnreadable(file: string, error: unknown): Finding {
  const place = { file, line: null, section: null, key: null, expected: 'a configuration file' };
  if (codeOf(error) !== 'ENOENT')
    return { ...place, found: 'none that can be read', hint: whyUnreadable(error) };
  const hint = `change to the folder that holds conf.ini, algopkg and Model_ZOO, or name the file with --conf`;
  return { ...place, found: 'none', hint };
}
