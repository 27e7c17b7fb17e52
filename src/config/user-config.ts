import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import { type FindingDraft, quoted } from './finding.ts';
import { type IniEntry, type IniSection, readIniLines } from './ini-lines.ts';
import { findJsonMistake, type JsonMistake, lineAndColumn } from './json-text.ts';
import { DEPLOYMENT_KEYS } from './schema.ts';
import { whyUnreadable } from './unreadable.ts';

const KEY = DEPLOYMENT_KEYS.userConfig.name;

/**
 * Puts the JSON text itself in place of what `user_config` says. JSON is taken as it is written where it is valid as
 * it is written: its `#` and `;` begin no comment, and its quotes and backslashes are its own. `@file` is read.
 * @returns the section without `user_config` when that is a mistake
 */
export async function settleUserConfig(
  section: IniSection,
  projectDir: string,
): Promise<{ readonly section: IniSection; readonly mistakes: readonly FindingDraft[] }> {
  const entry = section.entries.find(({ key }) => key === KEY);
  // `""` is JSON, for an empty text; nothing at all is no configuration
  if (entry === undefined || (entry.value === '' && entry.kept !== '""')) return { section, mistakes: [] };
  const settled = namesFile(entry) ? await readConfigFile(entry, projectDir) : readInlineConfig(entry);
  const others = section.entries.filter(({ key }) => key !== KEY);
  if ('text' in settled) {
    const replaced = { ...entry, value: settled.text, cut: settled.cut };
    return { section: { ...section, entries: [...others, replaced] }, mistakes: [] };
  }
  const place = {
    line: entry.line,
    section: section.name,
    key: KEY,
    expected: DEPLOYMENT_KEYS.userConfig.form.expected,
  };
  return { section: { ...section, entries: others }, mistakes: [{ ...place, ...settled }] };
}

/** Files that a conf.ini takes configurations from, as it names them. */
export function configFilesIn(confText: string): readonly string[] {
  return readIniLines(confText)
    .sections.flatMap(({ entries }) => entries)
    .filter((entry) => entry.key === KEY && namesFile(entry))
    .map(({ value }) => value.slice(1).trim());
}

/** `@file`; but `"@file"` is JSON as it is written, a text. */
function namesFile({ value, raw }: IniEntry): boolean {
  return value.startsWith('@') && findJsonMistake(raw) !== null;
}

type Settled =
  | { readonly text: string; readonly cut: IniEntry['cut'] }
  | Pick<FindingDraft, 'found' | 'hint'>;

function readInlineConfig(entry: IniEntry): Settled {
  const { raw, value, cut } = entry;
  const mistake = findJsonMistake(raw);
  if (mistake === null) return { text: raw, cut: null };
  const json = raw.slice(0, mistake.offset);
  const hasComment = /\s$/.test(json) && /^[#;]/.test(raw.slice(mistake.offset));
  if (hasComment && findJsonMistake(json) === null) return { text: json, cut: null };
  if (findJsonMistake(value) === null) return { text: value, cut };
  return { found: quoted(raw), hint: `at character ${mistake.offset + 1} ${describe(mistake, raw)}` };
}

/** JSON of the size that a configuration may have, with blanks and line ends between. */
const MOST_FILE_BYTES = 1024 * 1024;

async function readConfigFile(entry: IniEntry, projectDir: string): Promise<Settled> {
  const name = entry.value.slice(1).trim();
  const path = resolve(projectDir, name);
  const found = quoted(entry.value);
  try {
    const file = await stat(path);
    // A device or a pipe may have no end.
    if (!file.isFile()) return { found, hint: `${path} is no file` };
    if (file.size > MOST_FILE_BYTES) return { found, hint: `${path} has ${file.size} bytes` };
    const text = (await readFile(path, 'utf8')).replace(/^\u{feff}/u, '');
    const mistake = findJsonMistake(text);
    if (mistake === null) return { text, cut: entry.cut };
    const { line, column } = lineAndColumn(text, mistake.offset);
    return {
      found: `no JSON in ${name}`,
      hint: `at line ${line}, column ${column} ${describe(mistake, text)}`,
    };
  } catch (error) {
    const hint = codeOf(error) === 'ENOENT' ? `there is no ${path}` : `${path}: ${whyUnreadable(error)}`;
    return { found, hint };
  }
}

function describe(mistake: JsonMistake, text: string): string {
  const rest = text.slice(mistake.offset).split('\n', 1)[0] ?? '';
  return `there should be ${mistake.expected}, not ${rest === '' ? 'the end' : quoted(rest)}`;
}
