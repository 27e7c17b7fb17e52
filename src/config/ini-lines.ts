import { unsafe } from 'ini';
import { type FindingDraft, linesOf, quoted } from './finding.ts';

/** One `key = value` line. */
export interface IniEntry {
  readonly key: string;
  /** counted from 1 */
  readonly line: number;
  /** all that follows `=`, trimmed */
  readonly raw: string;
  /** `raw` without a comment behind it */
  readonly kept: string;
  /** `kept` without quotes and escapes, as the ini format reads them */
  readonly value: string;
  /** what `#` or `;` cut off; `attached`: no space before it, so it was hardly meant as a comment */
  readonly cut: { readonly text: string; readonly attached: boolean } | null;
}

export interface IniSection {
  readonly name: string;
  readonly line: number;
  readonly entries: readonly IniEntry[];
}

interface IniLines {
  /** in order; a section that comes a second time is reported and left out */
  readonly sections: readonly IniSection[];
  readonly mistakes: readonly FindingDraft[];
}

/** Ten for each of 2,000 sections. A head has other things to do than to judge what was pasted by mistake. */
const MOST_LINES = 20_000;

/**
 * Reads the structure of an ini file line by line. The `ini` package's own reader gives an object, in which line
 * numbers are gone, duplicates have merged, `[a.b]` may have overwritten a key of `[a]`, and a key without a value is
 * `true`; here it only reads the values, and whatever it would lose is a mistake with its line.
 */
export function readIniLines(text: string): IniLines {
  const reader: Reader = { sections: new Map(), mistakes: [], current: null, lost: false };
  if (UTF_16.test(text)) return { sections: [], mistakes: [NOT_UTF_8] };
  const lines = linesOf(text.replace(/^\u{feff}/u, ''));
  if (lines.length > MOST_LINES) return { sections: [], mistakes: [tooLong(lines.length)] };
  for (const [index, line] of lines.entries()) readLine(reader, line.trim(), index + 1);
  const sections = [...reader.sections.values()].map(({ name, line, entries }) => ({
    name,
    line,
    entries: [...entries.values()],
  }));
  return { sections, mistakes: reader.mistakes };
}

/** What reading UTF-16 as UTF-8 gives: its mark is two bytes that are no text, and half of its bytes are 0. */
const UTF_16 = /^(?:\u{fffd}{2}|[^\0]\0|\0[^\0])/u;

const EXPECTED = { expected: 'text in UTF-8', hint: 'save the file as UTF-8' };
const NOT_UTF_8: FindingDraft = { line: 1, section: null, key: null, found: 'UTF-16', ...EXPECTED };

function tooLong(lines: number): FindingDraft {
  const found = `${lines} lines`;
  return { line: null, section: null, key: null, expected: `at most ${MOST_LINES} lines`, found, hint: '' };
}

interface OpenSection {
  readonly name: string;
  readonly line: number;
  readonly entries: Map<string, IniEntry>;
}

interface Reader {
  readonly sections: Map<string, OpenSection>;
  readonly mistakes: FindingDraft[];
  current: OpenSection | null;
  /** below a header that was reported: whose keys these are is not known */
  lost: boolean;
}

function readLine(reader: Reader, line: string, number: number): void {
  if (line === '' || line.startsWith('#') || line.startsWith(';')) return;
  if (line.startsWith('[')) {
    readHeader(reader, line, number);
    return;
  }
  if (!reader.lost) readEntry(reader, line, number);
}

function readHeader(reader: Reader, line: string, number: number): void {
  const name = /^\[([^\]]*)\]\s*(?:[#;].*)?$/.exec(line)?.[1]?.trim();
  const known = name === undefined ? undefined : reader.sections.get(name);
  reader.lost = name === undefined || known !== undefined;
  if (name === undefined) {
    reader.mistakes.push({
      line: number,
      section: null,
      key: null,
      expected: 'a section header such as [algopkg.Echo] alone on its line',
      found: quoted(line),
      hint: '',
    });
    return;
  }
  if (known !== undefined) {
    reader.mistakes.push({
      line: number,
      section: name,
      key: null,
      expected: 'each section once',
      found: `it a second time (the first is at line ${known.line})`,
      hint: name.startsWith('algopkg.')
        ? `to deploy the same package twice, name the other section [${name}.NAME]`
        : 'put all its keys below the first',
    });
    return;
  }
  reader.current = { name, line: number, entries: new Map() };
  reader.sections.set(name, reader.current);
}

function readEntry(reader: Reader, line: string, number: number): void {
  const equals = line.indexOf('=');
  const key = (equals < 0 ? line : line.slice(0, equals)).trim();
  const at = { line: number, section: reader.current?.name ?? null };
  if (equals < 0 || key === '') {
    const hint = line.includes(':') ? 'write "=" between key and value; a value goes on one line' : '';
    reader.mistakes.push({ ...at, key: null, expected: 'key = value', found: quoted(line), hint });
    return;
  }
  if (reader.current === null) {
    const expected = 'a section header such as [MODEL SERVE] above the first key';
    reader.mistakes.push({ ...at, key, expected, found: quoted(line), hint: '' });
    return;
  }
  const known = reader.current.entries.get(key);
  if (known !== undefined) {
    const found = `it a second time (the first is at line ${known.line})`;
    reader.mistakes.push({ ...at, key, expected: 'each key once', found, hint: 'remove one of the two' });
    return;
  }
  const raw = line.slice(equals + 1).trim();
  const { kept, cut } = splitComment(raw);
  // Bytes of another encoding have become this character. In a comment they do no harm.
  if (`${key}${kept}`.includes('\u{fffd}')) {
    reader.mistakes.push({ ...at, key, found: quoted(kept), ...EXPECTED });
    return;
  }
  reader.current.entries.set(key, { key, line: number, raw, kept, value: textOf(kept), cut });
}

/** Where a value ends and a comment begins: at the first `#` or `;` that is neither quoted nor escaped. */
function splitComment(raw: string): Pick<IniEntry, 'kept' | 'cut'> {
  const quotedPart = /^(?:"(?:[^"\\]|\\.)*"|'[^']*')(?=\s*$|\s+[#;])/s.exec(raw)?.[0] ?? '';
  const marker = /^(?:[^\\#;]|\\.|\\$)*/s.exec(raw.slice(quotedPart.length))?.[0].length ?? 0;
  const end = quotedPart.length + marker;
  if (end >= raw.length) return { kept: raw, cut: null };
  const attached = end > 0 && !/\s/.test(raw.charAt(end - 1));
  return { kept: raw.slice(0, end).trimEnd(), cut: { text: raw.slice(end), attached } };
}

/** ini reads what single quotes hold as JSON, too, and then gives no text: here the text is wanted. */
function textOf(kept: string): string {
  const value: unknown = unsafe(kept);
  return typeof value === 'string' ? value : kept.slice(1, -1);
}
