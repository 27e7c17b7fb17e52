// A row of the table of targets.
import { spreadOf } from '../lib/statistics.mjs';

/**
 * @typedef {object} Row
 * @property {string} what
 * @property {string} unit '×' for a ratio
 * @property {number | null} value median; null: not measured
 * @property {number} [min]
 * @property {number} [max]
 * @property {'at least' | 'at most'} comparison
 * @property {number} target
 * @property {'pass' | 'short' | 'not measured'} verdict
 * @property {string} [group] of its figure, which is kept by itself
 * @property {string} [note] how it was measured, or why it was not
 */

/**
 * Judges measured values by their median.
 * @param {{what: string, unit: string, atLeast?: number, atMost?: number, values: readonly number[], note?: string}} figure
 * @returns {Row}
 */
export function judged(figure) {
  const { what, unit, atLeast, atMost, values, note } = figure;
  const comparison = atLeast === undefined ? 'at most' : 'at least';
  const target = atLeast ?? atMost ?? Number.NaN;
  const spread = spreadOf(values);
  const rest = note === undefined ? {} : { note };
  if (spread === null)
    return { what, unit, value: null, comparison, target, verdict: 'not measured', ...rest };
  const reaches = comparison === 'at least' ? spread.median >= target : spread.median <= target;
  const { median: value, min, max } = spread;
  return { what, unit, value, min, max, comparison, target, verdict: reaches ? 'pass' : 'short', ...rest };
}

/**
 * The row of a figure that did not do what it is to do, whatever it took.
 * @param {Row} row
 * @param {string} note what it did instead
 * @returns {Row}
 */
export function short(row, note) {
  return { ...row, verdict: 'short', note };
}
