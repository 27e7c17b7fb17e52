import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  CHECKSUM_AGENT,
  CHECKSUM_LENGTHS,
  isChecksumAlgorithm,
  splitAgentKey,
  splitChecksumKey,
} from '../cluster/spec/agents.ts';
import { type FindingDraft, quoted } from './finding.ts';
import type { IniEntry, IniSection } from './ini-lines.ts';
import { AGENT_KEY } from './schema.ts';

/** What the `agent.NAME…` keys of a section give; those that are wrong are left out. */
interface AgentReading {
  /** by their keys without `agent.`, in the order of the file */
  readonly agents: Readonly<Record<string, string>>;
  readonly mistakes: readonly FindingDraft[];
}

type Mistake = Pick<FindingDraft, 'expected' | 'found' | 'hint'>;

/** The `agent.NAME…` keys of a section. @param packageDir where modules lie */
export function readAgentKeys(section: IniSection, packageDir: string): AgentReading {
  const entries = section.entries.filter(({ key }) => key.startsWith(AGENT_KEY.prefix));
  const modules = new Set(entries.map(({ key }) => key.slice(AGENT_KEY.prefix.length)));
  const agents: [string, string][] = [];
  const mistakes: FindingDraft[] = [];
  for (const entry of entries) {
    const key = entry.key.slice(AGENT_KEY.prefix.length);
    const mistake = checkEntry(key, entry, { modules, packageDir });
    if (mistake === null) agents.push([key, entry.value]);
    else mistakes.push({ line: entry.line, section: section.name, key: entry.key, ...mistake });
  }
  return { agents: Object.fromEntries(agents), mistakes };
}

interface Surroundings {
  /** keys of the section, without `agent.` */
  readonly modules: ReadonlySet<string>;
  readonly packageDir: string;
}

function checkEntry(key: string, entry: IniEntry, around: Surroundings): Mistake | null {
  const { name, rest } = splitAgentKey(key);
  if (!/^[A-Za-z_][\w-]*$/.test(name)) {
    const expected = 'the name of an agent after "agent."';
    return { expected, found: quoted(name), hint: 'such names have letters, digits, "_" and "-"' };
  }
  if (entry.cut !== null) {
    // A value that lost its end looks like one: a comment stands on a line of its own here.
    const expected = 'a value in double quotes where the line contains "#" or ";"';
    return { expected, found: quoted(entry.raw), hint: 'a comment can stand on a line of its own' };
  }
  if (name === CHECKSUM_AGENT) return checkChecksum(rest, entry.value);
  if (rest === '') return checkModule(entry.value, around.packageDir);
  if (around.modules.has(name)) return null;
  const hint = `add a line such as "agent.${name} = ${name}.mjs"`;
  return { expected: `a module for the agent ${name}`, found: 'only parameters for it', hint };
}

function checkChecksum(key: string, value: string): Mistake | null {
  const parts = splitChecksumKey(key);
  const hint = 'such as "agent.checksum.SHA256:dir/file.bin = …"';
  if (parts === null || !isInnerPath(parts.path)) {
    return { expected: 'ALGORITHM:path of a file below the model folder', found: quoted(key), hint };
  }
  const { algorithm } = parts;
  if (!isChecksumAlgorithm(algorithm)) {
    const expected = `a checksum algorithm: ${Object.keys(CHECKSUM_LENGTHS).join(', ')}`;
    return { expected, found: quoted(key.slice(0, algorithm.length)), hint };
  }
  const length = CHECKSUM_LENGTHS[algorithm];
  if (value.length === length && /^[0-9a-f]+$/i.test(value)) return null;
  return { expected: `the ${algorithm} of the file, ${length} hex digits`, found: quoted(value), hint: '' };
}

function checkModule(value: string, packageDir: string): Mistake | null {
  const expected = 'a .mjs, .js or .cjs file of the package';
  const isNamed = isInnerPath(value) && /\.[mc]?js$/.test(value);
  if (!isNamed) return { expected, found: quoted(value), hint: 'a path relative to the package folder' };
  const path = join(packageDir, value);
  if (existsSync(path) && statSync(path).isFile()) return null;
  return { expected, found: `no file ${path}`, hint: '' };
}

function isInnerPath(path: string): boolean {
  return path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
}
