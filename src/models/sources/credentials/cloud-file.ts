import type { Variables } from '../../../config/environment.ts';
import { findJsonMistake, lineAndColumn } from '../../../config/json-text.ts';
import { type ModelUri, publicUri, withoutUnpack } from '../../../config/model-uri.ts';
import { messageOf } from '../../../lib/errors.ts';
import { readIfThere } from '../../../lib/files.ts';
import { SourceError } from '../types.ts';

/** What `cloud_credential.json` has for a URI. */
export interface CloudEntry {
  /** the prefix it stands under, and the file, for messages */
  readonly origin: string;
  /** `gs` has the path of a file there, `s3` and `as` fields */
  readonly value: string | Readonly<Record<string, string>>;
}

const NAME = 'TRITON_CLOUD_CREDENTIAL_PATH';

/**
 * The credentials that the file of `TRITON_CLOUD_CREDENTIAL_PATH` has for a URI: those of the longest prefix that the URI
 * begins with, as Triton reads it. The file is read each time.
 * @returns null where the variable is not set
 * @throws SourceError SOURCE_CREDENTIALS, naming the file, when it cannot be read or nothing in it matches
 */
export async function cloudEntry(
  { scheme, text }: Pick<ModelUri, 'scheme' | 'text'>,
  variables: Variables,
): Promise<CloudEntry | null> {
  const path = variables[NAME] || null;
  if (path === null) return null;
  const sections = await read(path);
  const section = objectOr(sections[scheme], null);
  const asked = publicUri(withoutUnpack(text));
  if (section === null) {
    throw unusable(path, `a section "${scheme}", for ${asked}`, `${listOf(Object.keys(sections))}`);
  }
  const [prefix] = Object.keys(section)
    .filter((one) => asked.startsWith(one))
    .sort((left, right) => right.length - left.length);
  if (prefix === undefined) {
    const there = listOf(Object.keys(section));
    throw unusable(path, `a prefix of ${asked} in "${scheme}", or "" for all others`, there);
  }
  const origin = `${NAME} (${path}, ${scheme} "${prefix}")`;
  const value = section[prefix];
  if (typeof value === 'string') return { origin, value };
  const fields = Object.entries(objectOr(value, {})).filter(([, field]) => typeof field === 'string');
  return { origin, value: Object.fromEntries(fields) as Record<string, string> };
}

async function read(path: string): Promise<Readonly<Record<string, unknown>>> {
  let text: string | null;
  try {
    text = await readIfThere(path);
  } catch (error) {
    throw unusable(path, 'a file that can be read', messageOf(error));
  }
  if (text === null) throw unusable(path, 'a file', 'none');
  const mistake = findJsonMistake(text);
  if (mistake === null) return objectOr(JSON.parse(text), {});
  const { line, column } = lineAndColumn(text, mistake.offset);
  throw unusable(path, `JSON, with ${mistake.expected} at line ${line}, column ${column}`, 'something else');
}

function objectOr<Other>(value: unknown, other: Other): Readonly<Record<string, unknown>> | Other {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : other;
}

function listOf(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.map((name) => `"${name}"`).join(', ');
}

function unusable(path: string, expected: string, found: string): SourceError {
  return new SourceError(`${NAME} (${path}): expected ${expected}, found ${found}`, {
    code: 'SOURCE_CREDENTIALS',
  });
}
