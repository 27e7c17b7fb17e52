import { readFile } from 'node:fs/promises';
import type { Variables } from '../../../config/environment.ts';
import { findJsonMistake, lineAndColumn } from '../../../config/json-text.ts';
import { messageOf } from '../../../lib/errors.ts';
import { SourceError } from '../types.ts';

/** How the parts of models are asked of Dragonfly. */
export interface DragonflyConfig {
  /** address of the proxy of a Dragonfly daemon */
  readonly proxy: string;
  /** on each request; lower-case names */
  readonly headers: Readonly<Record<string, string>>;
  /** parameters of an address that say nothing of the content: signatures, dates */
  readonly filter: readonly string[];
  /** certificates in PEM by which the daemon answers for https servers; '' for those that all believe */
  readonly proxyCa: string;
}

const VARIABLE = 'TRITON_DRAGONFLY_CONFIG_PATH';

/** Of presigned addresses of S3, Google, OSS and Azure. */
const SIGNATURES = [
  ...['Algorithm', 'Credential', 'Date', 'Expires', 'SignedHeaders', 'Signature', 'Security-Token'].flatMap(
    (name) => [`X-Amz-${name}`, `X-Goog-${name}`],
  ),
  ...['Expires', 'Signature', 'OSSAccessKeyId', 'security-token', 'ns'],
  ...['signature-version', 'credential', 'date', 'expires', 'signature', 'security-token'].map(
    (name) => `x-oss-${name}`,
  ),
  ...['sv', 'se', 'st', 'sr', 'sp', 'sig', 'spr', 'sip'],
];

/**
 * What the file says that `TRITON_DRAGONFLY_CONFIG_PATH` names; read each time.
 * @returns null when the variable is not set
 * @throws SourceError naming the file, with line and column where it is no JSON, or the key
 */
export async function readDragonflyConfig(variables: Variables): Promise<DragonflyConfig | null> {
  const path = variables[VARIABLE] || null;
  if (path === null) return null;
  const shown = `${VARIABLE} (${path})`;
  const fields = fieldsIn(await textOf(path, shown), shown);
  const unknown = Object.keys(fields).find((key) => !['proxy', 'header', 'filter', 'proxy_ca'].includes(key));
  if (unknown !== undefined)
    throw mistake(shown, 'the keys proxy, header, filter and proxy_ca', `"${unknown}"`);
  const filter = filterIn(fields['filter'], shown);
  const ca = fields['proxy_ca'];
  if (ca !== undefined && typeof ca !== 'string')
    throw mistake(shown, 'proxy_ca: the path of a PEM file', jsonOf(ca));
  return {
    proxy: proxyIn(fields['proxy'], shown),
    headers: headersIn(fields['header'], shown),
    filter: filter.length === 0 ? SIGNATURES : filter,
    proxyCa: ca === undefined ? '' : await textOf(ca, `${shown}: proxy_ca (${ca})`),
  };
}

async function textOf(path: string, shown: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw mistake(shown, 'a file that can be read', messageOf(error));
  }
}

function fieldsIn(text: string, shown: string): Readonly<Record<string, unknown>> {
  const wrong = findJsonMistake(text);
  if (wrong !== null) {
    const { line, column } = lineAndColumn(text, wrong.offset);
    const found = text.charAt(wrong.offset) || 'the end of the file';
    throw mistake(`${shown}:${line}:${column}`, wrong.expected, found);
  }
  return objectIn(JSON.parse(text), shown, 'an object');
}

/** Both layouts that are about: the address itself, and `{"addr": …}`. */
function proxyIn(value: unknown, shown: string): string {
  const given = typeof value === 'object' && value !== null && 'addr' in value ? value.addr : value;
  const expected = 'proxy: the address of a Dragonfly daemon, such as "http://127.0.0.1:65001"';
  if (typeof given !== 'string' || !/^https?:\/\/[^/]/.test(given) || !URL.canParse(given)) {
    throw mistake(shown, expected, value === undefined ? 'none' : jsonOf(value));
  }
  return given;
}

function headersIn(value: unknown, shown: string): Readonly<Record<string, string>> {
  const entries = Object.entries(objectIn(value ?? {}, shown, 'header: an object of texts'));
  const odd = entries.find(([name, text]) => !isHeader(name, text));
  if (odd !== undefined)
    throw mistake(shown, 'header: an object of texts', jsonOf(Object.fromEntries([odd])));
  return Object.fromEntries(entries.map(([name, text]) => [name.toLowerCase(), String(text)]));
}

function isHeader(name: string, value: unknown): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === 'string' && !/[\r\n\0]/.test(value);
}

/** Some write several into one entry, as Dragonfly's own header has them. */
function filterIn(value: unknown, shown: string): readonly string[] {
  const names: unknown = value ?? [];
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) {
    throw mistake(shown, 'filter: a list of names', jsonOf(value));
  }
  return names.flatMap((name: string) => name.split('&')).filter((name) => /^[\w.~-]+$/.test(name));
}

function objectIn(value: unknown, shown: string, expected: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw mistake(shown, expected, jsonOf(value));
}

function jsonOf(value: unknown): string {
  return JSON.stringify(value);
}

function mistake(shown: string, expected: string, found: string): SourceError {
  return new SourceError(`${shown}: expected ${expected}, found ${found}`, { code: 'SOURCE_CREDENTIALS' });
}
