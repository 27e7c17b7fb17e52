import Table from 'cli-table3';
import pc from 'picocolors';

/** Rows below a head, in columns, without lines between them. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = new Table({
    head: head.map((title) => pc.dim(title)),
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(
      [
        'top',
        'top-mid',
        'top-left',
        'top-right',
        'bottom',
        'bottom-mid',
        'bottom-left',
        'bottom-right',
        'left',
        'left-mid',
        'mid',
        'mid-mid',
        'right',
        'right-mid',
        'middle',
      ].map((side) => [side, '']),
    ),
  });
  lines.push(...rows.map((row) => [...row]));
  return lines.toString().replace(/ +$/gm, '');
}
