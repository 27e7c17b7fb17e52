/** Lines that belong together on the page: it changes only the last block, and takes whole ones away. */
export interface LineBlock {
  /** number of its first line, counted from the first that came */
  readonly first: number;
  readonly lines: readonly string[];
}

const LINES_PER_BLOCK = 100;

/**
 * Blocks with more lines behind them. Those that are full stay the very same objects, so that nothing that a person has
 * marked in them moves.
 * @param most of lines that are kept; whole blocks go at the beginning
 */
export function withLines(
  blocks: readonly LineBlock[],
  more: readonly string[],
  most: number,
): readonly LineBlock[] {
  const all = [...blocks];
  let place = 0;
  while (place < more.length) {
    const last = all.at(-1);
    const isOpen = last !== undefined && last.lines.length < LINES_PER_BLOCK;
    const before = isOpen ? last.lines : [];
    const first = isOpen ? last.first : last === undefined ? 0 : last.first + last.lines.length;
    const taken = more.slice(place, place + LINES_PER_BLOCK - before.length);
    place += taken.length;
    if (isOpen) all.pop();
    all.push({ first, lines: [...before, ...taken] });
  }
  const end = endOf(all);
  return all.filter(({ first, lines }) => first + lines.length > end - most);
}

/** How many lines have come in all. */
export function endOf(blocks: readonly LineBlock[]): number {
  const last = blocks.at(-1);
  return last === undefined ? 0 : last.first + last.lines.length;
}

/** Only lines with these words, upper and lower case alike; blocks without any are left out. */
export function withWords(blocks: readonly LineBlock[], words: string): readonly LineBlock[] {
  if (words === '') return blocks;
  const wanted = words.toLowerCase();
  return blocks.flatMap(({ first, lines }) => {
    const found = lines.filter((line) => line.toLowerCase().includes(wanted));
    return found.length === 0 ? [] : [{ first, lines: found }];
  });
}

export function countOf(blocks: readonly LineBlock[]): number {
  return blocks.reduce((sum, { lines }) => sum + lines.length, 0);
}
