/** What a look into a backend file says about a class. */
export interface ClassSearch {
  /** `uncertain`: it may be there, which only loading the file would tell */
  readonly verdict: 'defined' | 'uncertain' | 'missing';
  /** the classes that are there, for "did you mean" */
  readonly classes: readonly string[];
  /** what to change in the file; '' when the file gives no clue */
  readonly hint: string;
}

/** The first group of every match of a pattern, multiline and by code point. */
export function namesOf(code: string, pattern: string): readonly string[] {
  return [...code.matchAll(new RegExp(pattern, 'gmu'))].map((match) => match[1] ?? '');
}
