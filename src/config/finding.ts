/** A mistake in conf.ini, or a warning about it: what is wrong, where, and what to do. */
export interface Finding {
  /** the configuration file's path as it was given */
  readonly file: string;
  /** counted from 1; null: the file as a whole */
  readonly line: number | null;
  /** without brackets; null: outside any section */
  readonly section: string | null;
  readonly key: string | null;
  readonly expected: string;
  readonly found: string;
  /** what to do, or what may have been meant; '' when there is nothing to add */
  readonly hint: string;
}

/** A finding of a part that does not know which file it reads. */
export type FindingDraft = Omit<Finding, 'file'>;

/** One line: `conf.ini:14 [algopkg.Echo] gpu_cost: expected …, found "1.5"; did you mean …`. */
export function renderFinding(finding: Finding): string {
  const place = [
    finding.line === null ? finding.file : `${finding.file}:${finding.line}`,
    ...(finding.section === null ? [] : [`[${finding.section}]`]),
    ...(finding.key === null ? [] : [finding.key]),
  ].join(' ');
  return `${place}: ${describeFinding(finding)}`;
}

/** The same without its place. */
function describeFinding({ expected, found, hint }: FindingDraft): string {
  return `expected ${expected}, found ${found}${hint === '' ? '' : `; ${hint}`}`;
}

/** A finding with where in its line it is: columns count from 1, the end is exclusive; null with no line. */
export interface PlacedFinding extends Finding {
  readonly severity: 'mistake' | 'warning';
  readonly column: number | null;
  readonly endColumn: number | null;
  /** what is wrong, in one line without its place */
  readonly message: string;
}

/** The lines that findings count. */
export function linesOf(text: string): readonly string[] {
  return text.split(/\r\n|\n|\r/);
}

/**
 * For editors: what of the line it is about, as closely as can be told from the text.
 * @param lines of all of the text
 */
export function placeFinding(
  finding: Finding,
  severity: PlacedFinding['severity'],
  lines: readonly string[],
): PlacedFinding {
  const line = finding.line === null ? undefined : lines[finding.line - 1];
  const [start, end] = line === undefined ? [null, null] : spanIn(line, finding);
  return { ...finding, severity, column: start, endColumn: end, message: describeFinding(finding) };
}

/** The value where what was found is quoted, else the key, else all of the line. */
function spanIn(line: string, { key, found }: Finding): readonly [start: number, end: number] {
  const begin = line.length - line.trimStart().length;
  const equals = line.indexOf('=');
  if (key === null || equals < 0) return [begin + 1, Math.max(begin + 1, line.trimEnd().length) + 1];
  if (!found.startsWith('"')) return [begin + 1, line.slice(0, equals).trimEnd().length + 1];
  const value = line.slice(equals + 1);
  const valueBegin = equals + 1 + value.length - value.trimStart().length;
  return [valueBegin + 1, Math.max(valueBegin + 1, line.trimEnd().length) + 1];
}

const LONGEST_QUOTE = 60;

/** What was found, in quotes, on one line and not longer than a line bears; nothing in it turns the line around. */
export function quoted(text: string): string {
  const oneLine = text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '\u{fffd}');
  return oneLine.length > LONGEST_QUOTE ? `"${oneLine.slice(0, LONGEST_QUOTE - 1)}…"` : `"${oneLine}"`;
}
