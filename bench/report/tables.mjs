// Tables in Markdown that can be read on a terminal, too: columns are padded.

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 * @param {number} [textColumns] so many columns from the left are text, the rest numbers
 */
export function table(head, rows, textColumns = 1) {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => (row[column] ?? '').length)));
  const line = (row) => `| ${row.map((cell, column) => padded(cell, column)).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column < textColumns ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');

  function padded(cell, column) {
    const width = widths[column] ?? 0;
    return column < textColumns ? cell.padEnd(width) : cell.padStart(width);
  }
}

/** @returns {string} three significant digits, thousands set apart; – for null */
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en');
  return size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @returns {string} a duration in µs below 10 ms, in ms above */
export function duration(us) {
  if (us === null || us === undefined) return '–';
  return us < 10_000 ? `${number(us)} µs` : `${number(us / 1000)} ms`;
}

/** @returns {string} median, and the spread behind it where there is one */
export function spread(values) {
  if (values === null) return '–';
  const { median, min, max } = values;
  return min === max ? number(median) : `${number(median)} (${number(min)}–${number(max)})`;
}
