import type { BuiltFolder } from './built-folders.ts';
import { useHash } from './uses.ts';

/** Somebody who has just looked for it may be about to use it. */
const GRACE_MS = 60_000;

export interface PruneRules {
  /** hashes of packages that a replica here runs, or that may be returned to */
  readonly keep: ReadonlySet<string>;
  /** not used for so long */
  readonly olderThanMs: number;
  /** of those that nothing needs, so many are kept, the ones used last; null: any number */
  readonly most: number | null;
}

/** The part of `keep` that uses are compared with, from whole hashes. */
export function keptHashes(packageHashes: Iterable<string>): ReadonlySet<string> {
  return new Set([...packageHashes].map(useHash));
}

/** What of all that was built may go: what nothing needs and is old, or too much. Nothing that is being built. */
export function chooseUnused(
  built: readonly BuiltFolder[],
  rules: PruneRules,
  nowMs: number,
): readonly BuiltFolder[] {
  const unneeded = built
    .filter(({ state, uses }) => state !== 'building' && !uses.some(({ hash }) => rules.keep.has(hash)))
    .filter(({ lastUsedMs }) => nowMs - lastUsedMs >= GRACE_MS)
    .sort((left, right) => right.lastUsedMs - left.lastUsedMs);
  const most = rules.most ?? unneeded.length;
  return unneeded.filter(
    ({ lastUsedMs }, position) => position >= most || nowMs - lastUsedMs >= rules.olderThanMs,
  );
}
