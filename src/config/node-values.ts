import { readFileSync } from 'node:fs';
import { codeOf, ServeError } from '../lib/errors.ts';
import type { JsonValue } from '../lib/json.ts';
import type { Variables } from './environment.ts';

/** A part of a value of conf.ini: text, or the name of what stands on the node alone. */
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string };

/** What cannot be read as a reference: `found` is as it was written. */
export interface ReferenceMistake {
  readonly found: string;
  readonly hint: string;
}

/** `$${` is a plain `${`; a reference ends at the first brace. */
const OPENING = /\$\$\{|\$\{([^}]*)(\}?)/g;
/** A secret is shorter, and what one frame of the channel carries is not longer. */
const MOST_BYTES = 60_000;

export const REFERENCE_FORMS = '`${NAME}` and `${file:/PATH}`';

/** Whether a value would be read as naming something on the node. */
export function hasReference(text: string): boolean {
  return /\$\{/.test(text.replaceAll('$${', ''));
}

/** The first reference of a value that is none. */
export function findReferenceMistake(text: string): ReferenceMistake | null {
  for (const [found, body, end] of text.matchAll(OPENING)) {
    if (body === undefined) continue;
    if (end === '') return { found, hint: 'the brace is not closed; for a plain "${" write "$${"' };
    const hint = hintFor(body);
    if (hint !== null) return { found, hint };
  }
  return null;
}

/** The first mistake in the texts of a configuration; names of its fields hold no references. */
export function findConfigMistake(value: JsonValue): ReferenceMistake | null {
  if (typeof value === 'string') return findReferenceMistake(value);
  if (typeof value !== 'object' || value === null) return null;
  const fields = Array.isArray(value) ? [] : Object.keys(value);
  const named = fields.find(hasReference);
  if (named !== undefined) return { found: named, hint: 'only values may hold references, not names' };
  return Object.values(value).reduce<ReferenceMistake | null>(
    (mistake, one) => mistake ?? findConfigMistake(one as JsonValue),
    null,
  );
}

/** @returns what is wrong between the braces, or null */
function hintFor(body: string): string | null {
  if (body.startsWith('file:')) {
    return /^file:\/[^\0]+$/.test(body) ? null : 'the path of a file is absolute: ${file:/run/secrets/key}';
  }
  if (!/^[A-Za-z_]\w*$/.test(body)) {
    return `references are ${REFERENCE_FORMS}; for a plain "\${" write "$\${"`;
  }
  return body.startsWith('MODELSERVE_') ? "modelserve's own variables are given to no backend" : null;
}

/**
 * The values that conf.ini only names: variables and files of this node, read when a process is about to get them. Revisions,
 * plans, records and messages hold the names.
 */
export class NodeValues {
  readonly #variables: Variables;
  readonly #node: string;

  /** @param node its id, for messages */
  constructor(variables: Variables, node: string) {
    this.#variables = variables;
    this.#node = node;
  }

  /**
   * The variables of a section, as a process gets them.
   * @throws ServeError REFERENCE_MISSING with variable or file, node and section
   */
  environmentOf({
    name,
    env,
  }: Section & { readonly env: Readonly<Record<string, string>> }): Record<string, string> {
    return Object.fromEntries(
      Object.entries(env).map(([variable, text]) => [
        variable,
        this.#textOf(text, `[algopkg.${name}] env.${variable}`),
      ]),
    );
  }

  /**
   * The `user_config` of a section, as the class gets it.
   * @throws ServeError REFERENCE_MISSING; REFERENCE_TOO_LARGE
   */
  configOf({ name, userConfig }: Section & { readonly userConfig: JsonValue | null }): JsonValue | null {
    const place = `[algopkg.${name}] user_config`;
    const config = this.#configOf(userConfig, place);
    if (config === userConfig || Buffer.byteLength(JSON.stringify(config)) <= MOST_BYTES) return config;
    throw new ServeError(
      `${place}: with what its references hold on node ${this.#node} it has more than ${MOST_BYTES} bytes: have the class read such a file itself`,
      { code: 'REFERENCE_TOO_LARGE' },
    );
  }

  #configOf(value: JsonValue | null, place: string): JsonValue | null {
    if (typeof value === 'string') return this.#textOf(value, place);
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map((one) => this.#configOf(one, place)) as JsonValue;
    return Object.fromEntries(
      Object.entries(value).map(([field, one]) => [field, this.#configOf(one as JsonValue, place)]),
    ) as JsonValue;
  }

  #textOf(text: string, place: string): string {
    return partsOf(text)
      .map((part) => (part.kind === 'text' ? part.text : this.#read(part, place)))
      .join('');
  }

  #read(part: Exclude<Part, { kind: 'text' }>, place: string): string {
    if (part.kind === 'file') return this.#readFile(part.path, place);
    const value = this.#variables[part.name];
    if (value !== undefined) return value;
    throw this.#missing(
      `${place}: the variable ${part.name} is not set on node ${this.#node}. Start the node with it, or name a file: \${file:/PATH}.`,
    );
  }

  /** One line end at the end of a file is no part of the value: editors put it there. */
  #readFile(path: string, place: string): string {
    const fail = (why: string): ServeError =>
      this.#missing(`${place}: the file ${path} cannot be used on node ${this.#node}: ${why}.`);
    let content: Buffer;
    try {
      content = readFileSync(path);
    } catch (error) {
      throw fail(codeOf(error) === 'ENOENT' ? 'it is not there' : (codeOf(error) ?? 'it cannot be read'));
    }
    if (content.length > MOST_BYTES)
      throw fail(`it has ${content.length} bytes, at most ${MOST_BYTES} are read`);
    if (content.includes(0)) throw fail('it is no text');
    return content.toString('utf8').replace(/\r?\n$/, '');
  }

  #missing(message: string): ServeError {
    return new ServeError(message, { code: 'REFERENCE_MISSING' });
  }
}

interface Section {
  /** of the deployment */
  readonly name: string;
}

/** A text without mistakes in parts; what an earlier version took as plain text, and is none here, stays plain. */
function partsOf(text: string): readonly Part[] {
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(OPENING)) {
    parts.push({ kind: 'text', text: text.slice(end, match.index) }, partOf(match[0], match[1]));
    end = match.index + match[0].length;
  }
  return [...parts, { kind: 'text', text: text.slice(end) }];
}

function partOf(written: string, body: string | undefined): Part {
  if (body === undefined) return { kind: 'text', text: '${' };
  if (!written.endsWith('}') || hintFor(body) !== null) return { kind: 'text', text: written };
  return body.startsWith('file:')
    ? { kind: 'file', path: body.slice('file:'.length) }
    : { kind: 'variable', name: body };
}
