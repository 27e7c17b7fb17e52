import { type FileHandle, open } from 'node:fs/promises';
import { codeOf } from './errors.ts';

const READ_BYTES = 1024 * 1024;
/** A line without end is taken for whole then. */
const LONGEST_LINE_BYTES = 4 * READ_BYTES;

/**
 * The lines of a log that rotates (`path`, older `path.1` …) that hold a text, oldest first, each with the lines behind it
 * that begin with a space or tab: a traceback belongs to the line above it. Without the line's end. A file that is not
 * there is empty.
 */
export async function* searchLog(
  path: string,
  text: string,
  signal: AbortSignal,
): AsyncGenerator<string, void> {
  const files = await openAll(path);
  const search = { text, needle: Buffer.from(text), isInside: false };
  try {
    for (const file of files.toReversed()) {
      for await (const lines of portions(file, signal)) yield* linesWith(search, lines);
    }
  } finally {
    for (const file of files) await file.close();
  }
}

function* linesWith(
  search: { readonly text: string; readonly needle: Buffer; isInside: boolean },
  lines: Buffer,
): Generator<string> {
  if (!search.isInside && !lines.includes(search.needle)) return;
  for (const line of lines.toString('utf8').trimEnd().split('\n')) {
    search.isInside = line.includes(search.text) || (search.isInside && /^[ \t]/.test(line));
    if (search.isInside) yield line;
  }
}

/** The newest first. All at once, so that a rotation meanwhile shows nothing twice. */
async function openAll(path: string): Promise<readonly FileHandle[]> {
  const files: FileHandle[] = [];
  for (let age = 0; ; age += 1) {
    try {
      files.push(await open(age === 0 ? path : `${path}.${age}`, 'r'));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      if (age > 0 || files.length > 0) return files;
      // the current file may be about to be made anew: look for older ones all the same
    }
  }
}

/** Whole lines. */
async function* portions(file: FileHandle, signal: AbortSignal): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (let offset = 0; !signal.aborted; ) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
    const all = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    const end = all.length > LONGEST_LINE_BYTES ? all.length : all.lastIndexOf(0x0a) + 1;
    rest = all.subarray(end);
    if (end > 0) yield all.subarray(0, end);
  }
  if (rest.length > 0) yield rest;
}
