/** Longer words are not typing mistakes of the short names compared here; bounds the quadratic comparison. */
const LONGEST_WORD = 128;

/**
 * The candidate that a word was probably meant to be: fewest edits apart, letter case aside, and at most a third of
 * the longer one's length.
 * @returns null when none is near enough
 */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: { readonly candidate: string; readonly edits: number } | null = null;
  const wanted = word.toLowerCase();
  if (wanted.length > LONGEST_WORD) return null;
  for (const candidate of candidates) {
    if (candidate.length > LONGEST_WORD) continue;
    const edits = editsBetween(wanted, candidate.toLowerCase());
    if (edits > Math.max(wanted.length, candidate.length) / 3) continue;
    if (best === null || edits < best.edits) best = { candidate, edits };
  }
  return best?.candidate ?? null;
}

/** `did you mean "…"?`, or '' when no candidate is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const candidate = nearest(word, candidates);
  return candidate === null ? '' : `did you mean "${candidate}"?`;
}

/** Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment), row by row. */
function editsBetween(left: string, right: string): number {
  let twoAbove: readonly number[] = [];
  let above: readonly number[] = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substituted = at(above, column - 1) + (left[row - 1] === right[column - 1] ? 0 : 1);
      const isSwap = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const swapped = isSwap ? at(twoAbove, column - 2) + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(substituted, swapped, at(above, column) + 1, at(current, column - 1) + 1));
    }
    twoAbove = above;
    above = current;
  }
  return at(above, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
