import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { codeOf } from './errors.ts';

export interface TailOptions {
  /** how many lines before the end to begin with */
  readonly lines: number;
  /** goes on with what is appended, until the signal; through rotations, too */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

const READ_BYTES = 64 * 1024;
/** Where the file system tells nothing (a network share, no inotify watches left), it is looked at this often. */
const LOOK_MS = 1_000;

/**
 * The end of a log file that rotates (`path`, older `path.1`, `path.2` …), as bytes; lines are whole but for the last.
 * A file that is not there yet is empty. Ends at the end of the file, or with `follow` when the signal is aborted.
 */
export async function* tailLog(path: string, options: TailOptions): AsyncGenerator<Buffer> {
  const start = await findStart(path, options.lines);
  for (let age = start.age; age > 0; age -= 1) {
    const file = await openIfThere(rotated(path, age));
    if (file !== null) yield* readAll(file, age === start.age ? start.offset : 0);
  }
  const offset = start.age === 0 ? start.offset : 0;
  if (options.follow) {
    yield* follow(path, offset, options.signal);
    return;
  }
  const file = await openIfThere(path);
  if (file !== null) yield* readAll(file, offset);
}

/** Where the last `lines` lines begin: in which file (0: the current one), at which byte. */
async function findStart(path: string, lines: number): Promise<{ age: number; offset: number }> {
  const search = { missing: lines, isAtEnd: true };
  for (let age = 0; ; age += 1) {
    const file = await openIfThere(rotated(path, age));
    if (file === null) return { age: Math.max(0, age - 1), offset: 0 };
    try {
      const offset = await findBackwards(file, search);
      if (offset !== null) return { age, offset };
    } finally {
      await file.close();
    }
  }
}

/** The byte behind the newline that precedes the lines searched for; null where the file holds only a part of them. */
async function findBackwards(
  file: FileHandle,
  search: { missing: number; isAtEnd: boolean },
): Promise<number | null> {
  const { size } = await file.stat();
  if (search.missing <= 0) return size;
  const buffer = Buffer.alloc(READ_BYTES);
  for (let end = size; end > 0; end -= Math.min(end, READ_BYTES)) {
    const from = Math.max(0, end - READ_BYTES);
    const { bytesRead } = await file.read(buffer, 0, end - from, from);
    for (let at = bytesRead - 1; at >= 0; at -= 1) {
      const isNewline = buffer[at] === 0x0a;
      if (isNewline && !search.isAtEnd) search.missing -= 1; // the very last newline ends the last line
      search.isAtEnd = false;
      if (search.missing === 0) return from + at + 1;
    }
  }
  return null;
}

async function* readAll(file: FileHandle, offset: number): AsyncGenerator<Buffer> {
  try {
    yield* readOn(file, { offset });
  } finally {
    await file.close();
  }
}

/** Reads from the position to the end, and moves the position along. */
async function* readOn(file: FileHandle, position: { offset: number }): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position.offset);
    if (bytesRead === 0) return;
    position.offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function* follow(path: string, offset: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  const change = watchForChange(path, signal);
  let position = { offset };
  let file: FileHandle | null = null;
  try {
    while (!signal.aborted) {
      const changed = change.next();
      file ??= await openIfThere(path);
      if (file !== null) {
        const wasRotated = await isRotated(file, path);
        // Emptied in place: how the JavaScript runner rotates.
        if ((await file.stat()).size < position.offset) position = { offset: 0 };
        yield* readOn(file, position);
        if (wasRotated) {
          await file.close();
          file = null;
          position = { offset: 0 };
          continue;
        }
      }
      await changed;
    }
  } finally {
    change.close();
    await file?.close();
  }
}

async function isRotated(file: FileHandle, path: string): Promise<boolean> {
  const held = await file.stat();
  try {
    return (await stat(path)).ino !== held.ino;
  } catch {
    return true; // renamed away, and the next one is not there yet
  }
}

/** Tells of the next change in the file's folder; also from time to time, and when the signal is aborted. */
function watchForChange(path: string, signal: AbortSignal): { next(): Promise<void>; close(): void } {
  const name = basename(path);
  let wake = () => {};
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  const timer = setInterval(() => wake(), LOOK_MS);
  let stopWatching = () => {};
  try {
    const watcher = watch(dirname(path), (_event, changed) => {
      if (changed === null || changed === name) wake();
    });
    watcher.on('error', () => watcher.close());
    stopWatching = () => watcher.close();
  } catch {
    // the timer alone, then
  }
  return {
    next: () =>
      new Promise((resolve) => {
        wake = resolve;
        if (signal.aborted) resolve();
      }),
    close: () => {
      signal.removeEventListener('abort', onAbort);
      clearInterval(timer);
      stopWatching();
      wake();
    },
  };
}

function rotated(path: string, age: number): string {
  return age === 0 ? path : `${path}.${age}`;
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
