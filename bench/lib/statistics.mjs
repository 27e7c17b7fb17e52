/** @returns {number | null} null: no values */
export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Median with its spread.
 * @param {readonly number[]} values
 * @returns {{median: number, min: number, max: number} | null} null: no values
 */
export function spreadOf(values) {
  const middle = median(values);
  return middle === null ? null : { median: middle, min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Ratios of two contestants, each within one round: what the machine did meanwhile befell both.
 * @template {{round: number}} S
 * @param {readonly S[]} above
 * @param {readonly S[]} below
 * @param {(sample: S) => number} pick
 * @returns {number[]} one for each round in which both were measured
 */
export function ratiosByRound(above, below, pick) {
  return above.flatMap((sample) => {
    const other = below.find(({ round }) => round === sample.round);
    return other === undefined || pick(other) === 0 ? [] : [pick(sample) / pick(other)];
  });
}
