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
  const hint = finding.hint === '' ? '' : `; ${finding.hint}`;
  return `${place}: expected ${finding.expected}, found ${finding.found}${hint}`;
}

const LONGEST_QUOTE = 60;

/** What was found, in quotes, on one line and not longer than a line bears. */
export function quoted(text: string): string {
  const oneLine = text.replace(/\p{Cc}/gu, '\u{fffd}');
  return oneLine.length > LONGEST_QUOTE ? `"${oneLine.slice(0, LONGEST_QUOTE - 1)}…"` : `"${oneLine}"`;
}
