/** Deeper values would exceed the recursion limits of those who read and hash them later (Python's is 1000). */
const DEEPEST = 100;

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\p{Cc}]|[\u007f-\u009f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/uy;
const SCALAR = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])/y;

/** Where a text stops being JSON. */
export interface JsonMistake {
  /** characters from the start */
  readonly offset: number;
  readonly expected: string;
}

/**
 * Finds the first place where a text is not JSON. JSON.parse gives the position in some of its messages only, and
 * words them differently from version to version.
 * @returns null when the text is JSON of at most 100 levels
 */
export function findJsonMistake(text: string): JsonMistake | null {
  const cursor: Cursor = { text, offset: 0 };
  try {
    readValue(cursor, 0);
    if (cursor.offset < text.length) throw new Stop('the end');
    return null;
  } catch (error) {
    if (error instanceof Stop) return { offset: cursor.offset, expected: error.message };
    throw error;
  }
}

/** Line and column of an offset, both counted from 1. */
export function lineAndColumn(
  text: string,
  offset: number,
): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

interface Cursor {
  readonly text: string;
  offset: number;
}

/** Ends the reading; never leaves this file. */
class Stop extends Error {}

function skip(cursor: Cursor, pattern: RegExp): boolean {
  pattern.lastIndex = cursor.offset;
  const found = pattern.exec(cursor.text)?.[0];
  cursor.offset += found?.length ?? 0;
  return found !== undefined;
}

function skipMark(cursor: Cursor, mark: string): boolean {
  skip(cursor, SPACE);
  if (cursor.text.charAt(cursor.offset) !== mark) return false;
  cursor.offset += 1;
  skip(cursor, SPACE);
  return true;
}

function readValue(cursor: Cursor, depth: number): void {
  skip(cursor, SPACE);
  if (depth > DEEPEST) throw new Stop(`no more than ${DEEPEST} levels`);
  if (skipMark(cursor, '{')) readItems(cursor, '}', () => readMember(cursor, depth));
  else if (skipMark(cursor, '[')) readItems(cursor, ']', () => readValue(cursor, depth + 1));
  else if (!skip(cursor, STRING) && !skip(cursor, SCALAR)) throw new Stop('a value');
  skip(cursor, SPACE);
}

function readItems(cursor: Cursor, end: '}' | ']', readItem: () => void): void {
  if (skipMark(cursor, end)) return;
  do readItem();
  while (skipMark(cursor, ','));
  if (!skipMark(cursor, end)) throw new Stop(`"," or "${end}"`);
}

function readMember(cursor: Cursor, depth: number): void {
  if (!skip(cursor, STRING)) throw new Stop('a key in double quotes');
  if (!skipMark(cursor, ':')) throw new Stop('":"');
  readValue(cursor, depth + 1);
}
