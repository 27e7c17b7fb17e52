/** As many as a person reads; a large cluster has a reason per node and GPU. */
const REASONS_SHOWN = 4;

/** Reasons as one line: the first few, then how many more there are. */
export function reasonsText(reasons: readonly string[]): string {
  const shown = reasons.slice(0, REASONS_SHOWN);
  const more = reasons.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more reasons`] : [])].join('; ');
}
