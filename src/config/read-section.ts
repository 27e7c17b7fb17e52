import type { DeploymentSpec } from '../cluster/spec/types.ts';
import type { JsonValue } from '../lib/json.ts';
import { type FindingDraft, quoted } from './finding.ts';
import type { IniEntry, IniSection } from './ini-lines.ts';
import { MODELCAR_KEYS } from './modelcar.ts';
import { didYouMean } from './nearest.ts';
import {
  findConfigMistake,
  findReferenceMistake,
  hasReference,
  REFERENCE_FORMS,
  type ReferenceMistake,
} from './node-values.ts';
import {
  AGENT_KEY,
  DEPLOYMENT_KEYS,
  ENVIRONMENT_KEY,
  type Key,
  type KeyTable,
  SETTINGS_KEYS,
  SETTINGS_SECTION,
} from './schema.ts';

/** What the keys of a section give. */
interface SectionReading<T> {
  /** the fields whose keys are right, or not given and have a default */
  readonly fields: Partial<T>;
  /** all of them; null when a key is wrong or missing */
  readonly complete: T | null;
  readonly mistakes: readonly FindingDraft[];
}

/**
 * Reads the keys of a section by their schema, defaults filled in.
 * @param deployment name that defaults may depend on
 */
export function readFields<T>(
  table: KeyTable<T>,
  section: IniSection,
  deployment: string,
): SectionReading<T> {
  const entries = new Map(section.entries.map((entry) => [entry.key, entry]));
  const values: [string, unknown][] = [];
  const mistakes: FindingDraft[] = [];
  for (const [field, key] of Object.entries<Key<unknown>>(table)) {
    const entry = entries.get(key.name);
    const reading = entry === undefined ? readFallback(key, deployment) : readEntry(key, entry);
    const place = { line: entry?.line ?? section.line, section: section.name, key: key.name };
    if (reading.ok) values.push([field, reading.value]);
    else mistakes.push({ ...place, ...reading.mistake });
  }
  // The table has a key for each field of T, and each gave a value of that field's type.
  const fields = Object.fromEntries(values) as T;
  return { fields, complete: mistakes.length === 0 ? fields : null, mistakes };
}

type EntryReading =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly mistake: Pick<FindingDraft, 'expected' | 'found' | 'hint'> };

function readEntry(key: Key<unknown>, entry: IniEntry): EntryReading {
  const cut = describeCut(entry);
  if (cut !== null) return { ok: false, mistake: cut };
  const isConfig = key.name === DEPLOYMENT_KEYS.userConfig.name;
  if (!isConfig && hasReference(entry.value)) return { ok: false, mistake: describeMisplaced(entry) };
  const reading = key.form.read(entry.value);
  const wrong = reading.ok && isConfig ? findConfigMistake(reading.value as JsonValue) : null;
  if (wrong !== null) return { ok: false, mistake: describeReference(wrong) };
  if (reading.ok) return reading;
  const hint =
    entry.value === '' && key.fallback !== null ? 'leave the line out for the default' : reading.hint;
  return { ok: false, mistake: { expected: key.form.expected, found: quoted(entry.value), hint } };
}

/** What a node is told by this key is the same everywhere, and is decided by the head. */
function describeMisplaced(entry: IniEntry): Pick<FindingDraft, 'expected' | 'found' | 'hint'> {
  return {
    expected: 'a value that does not depend on a node',
    found: quoted(entry.value),
    hint: `only ${ENVIRONMENT_KEY.name} and ${DEPLOYMENT_KEYS.userConfig.name} may hold ${REFERENCE_FORMS}`,
  };
}

function describeReference({
  found,
  hint,
}: ReferenceMistake): Pick<FindingDraft, 'expected' | 'found' | 'hint'> {
  return { expected: `references such as ${REFERENCE_FORMS}`, found: quoted(found), hint };
}

/** A default is read like any text: a deployment may be named what no route can be. */
function readFallback(key: Key<unknown>, deployment: string): EntryReading {
  if (key.fallback === null) {
    const hint = `add a line such as "${key.name} = ${key.example}"`;
    return { ok: false, mistake: { expected: key.form.expected, found: 'no such key', hint } };
  }
  const value = key.fallback(deployment);
  const reading = key.form.read(key.form.write(value));
  if (reading.ok) return reading;
  const hint = [reading.hint, `add a line "${key.name} = …"`].filter((part) => part !== '').join('; ');
  const found = `${quoted(key.form.write(value))} by default`;
  return { ok: false, mistake: { expected: key.form.expected, found, hint } };
}

/** A `#` or `;` inside a value: what follows would be lost without a word. */
function describeCut(entry: IniEntry): Pick<FindingDraft, 'expected' | 'found' | 'hint'> | null {
  if (!entry.cut?.attached) return null;
  const marker = entry.cut.text.charAt(0);
  return {
    expected: `a value whose "${marker}" stands in quotes`,
    found: quoted(entry.raw),
    hint: `put the value in double quotes, or a space before "${marker}" if a comment begins there`,
  };
}

/** The variables that a section sets; those whose key is wrong are left out. */
interface EnvironmentReading {
  readonly variables: DeploymentSpec['env'];
  readonly mistakes: readonly FindingDraft[];
}

/** The `env.NAME` keys of a section. */
export function readEnvironmentKeys(section: IniSection): EnvironmentReading {
  const variables: [string, string][] = [];
  const mistakes: FindingDraft[] = [];
  for (const entry of section.entries) {
    if (!entry.key.startsWith(ENVIRONMENT_KEY.prefix)) continue;
    const name = entry.key.slice(ENVIRONMENT_KEY.prefix.length);
    const mistake = checkVariable(name, entry);
    if (mistake === null) variables.push([name, entry.value]);
    else mistakes.push({ line: entry.line, section: section.name, key: entry.key, ...mistake });
  }
  return { variables: Object.fromEntries(variables), mistakes };
}

function checkVariable(
  name: string,
  entry: IniEntry,
): Pick<FindingDraft, 'expected' | 'found' | 'hint'> | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    const expected = 'the name of an environment variable after "env."';
    return { expected, found: quoted(name), hint: 'such names have letters, digits and "_"' };
  }
  if (/^(?:CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER|MODELSERVE_.*)$/.test(name)) {
    const hint = name.startsWith('CUDA') ? 'a replica gets its GPUs by gpu_cost' : 'these names are taken';
    return { expected: 'a variable that modelserve does not set itself', found: quoted(name), hint };
  }
  if (entry.value.includes('\0')) {
    return { expected: 'text without NUL characters', found: quoted(entry.value), hint: '' };
  }
  const wrong = findReferenceMistake(entry.value);
  if (wrong !== null) return describeReference(wrong);
  if (entry.cut === null) return null;
  // Any text may be meant here, and no check behind this one would notice that a part is missing.
  const expected = 'a value in double quotes where the line contains "#" or ";"';
  return { expected, found: quoted(entry.raw), hint: 'a comment can stand on a line of its own' };
}

const NAMES = {
  settings: [...Object.values<Key<unknown>>(SETTINGS_KEYS), ...MODELCAR_KEYS].map(({ name }) => name),
  deployment: Object.values<Key<unknown>>(DEPLOYMENT_KEYS).map(({ name }) => name),
};

/** Keys that the section's schema does not know. */
export function findUnknownKeys(
  section: IniSection,
  kind: 'settings' | 'deployment',
): readonly FindingDraft[] {
  const isOpen = (key: string) =>
    kind === 'deployment' && [ENVIRONMENT_KEY, AGENT_KEY].some(({ prefix }) => key.startsWith(prefix));
  return section.entries
    .filter(({ key }) => !NAMES[kind].includes(key) && !isOpen(key))
    .map(({ key, line }) => {
      const place = { line, section: section.name, key };
      return {
        ...place,
        expected: 'a key that this section has',
        found: 'an unknown one',
        hint: hintFor(key, kind),
      };
    });
}

function hintFor(key: string, kind: 'settings' | 'deployment'): string {
  if (kind === 'deployment' && NAMES.settings.includes(key)) return `it belongs into [${SETTINGS_SECTION}]`;
  if (kind === 'settings' && NAMES.deployment.includes(key)) return 'it belongs into an [algopkg.*] section';
  const variables = kind === 'deployment' ? [ENVIRONMENT_KEY.name, AGENT_KEY.name] : [];
  return didYouMean(key, [...NAMES[kind], ...variables]) || '`modelserve config` lists the keys';
}
