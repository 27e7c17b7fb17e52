import { StringDecoder } from 'node:string_decoder';

/** Where lines come from. */
export interface LineSource {
  readonly open: (signal: AbortSignal) => AsyncIterable<Buffer>;
  /** the line as it is shown, without its end; null: it is left out */
  readonly mark: (line: string) => string | null;
}

/** All sources at once, line by line, as they come. */
export async function* merged(sources: readonly LineSource[], signal: AbortSignal): AsyncGenerator<string> {
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  const readers = sources.map((source) => portionsOf(source, ended));
  const pending = new Map(readers.map((reader, index) => [index, nextOf(reader, index)]));
  try {
    while (pending.size > 0) {
      const { index, result } = await Promise.race(pending.values());
      const reader = readers[index];
      if (result.done === true || reader === undefined) pending.delete(index);
      else {
        yield result.value.map((line) => `${line}\n`).join('');
        pending.set(index, nextOf(reader, index));
      }
    }
  } finally {
    stop.abort();
    leave(readers);
  }
}

/** A reader whose last portion nobody has taken waits for that, whatever is aborted: its files would stay open. */
function leave(readers: readonly AsyncGenerator<unknown, void>[]): void {
  for (const reader of readers) reader.return().catch(() => undefined);
}

/** A line that is to be given out next of its source. */
interface Head {
  readonly line: string;
  /** ISO 8601 */
  readonly time: string;
}

/** Behind all times. */
const LAST = '~';

/**
 * Sources that end, each in the order of its times, put together in that order. A line without one keeps its place in its
 * source, or comes behind all that have one where there was none before it.
 */
export async function* byTime(sources: readonly LineSource[], signal: AbortSignal): AsyncGenerator<string> {
  const readers = sources.map((source) => linesOf(source, signal));
  try {
    const heads = await Promise.all(readers.map(async (reader) => await headOf(reader, LAST)));
    while (!signal.aborted) {
      const first = earliest(heads);
      const [reader, head] = [readers[first], heads[first] ?? null];
      if (reader === undefined || head === null) return;
      yield `${head.line}\n`;
      heads[first] = await headOf(reader, head.time);
    }
  } finally {
    leave(readers);
  }
}

/** @returns -1 where there is none */
function earliest(heads: readonly (Head | null)[]): number {
  return heads.reduce((first, head, index) => {
    const best = heads[first] ?? null;
    return head !== null && (best === null || head.time < best.time) ? index : first;
  }, -1);
}

/** @param before time of the line before */
async function headOf(reader: AsyncGenerator<string, void>, before: string): Promise<Head | null> {
  const { done, value } = await reader.next();
  if (done === true || value === undefined) return null;
  return { line: value, time: /^\{.*?"time":"([^"]+)"/.exec(value)?.[1] ?? before };
}

/** What a program writes on without an end of the line, such as a progress bar, is taken for one then: it is held in memory. */
const LONGEST_LINE = 1024 ** 2;

interface Next {
  readonly index: number;
  readonly result: IteratorResult<readonly string[], void>;
}

async function nextOf(reader: AsyncGenerator<readonly string[], void>, index: number): Promise<Next> {
  return { index, result: await reader.next() };
}

async function* linesOf(source: LineSource, signal: AbortSignal): AsyncGenerator<string, void> {
  for await (const lines of portionsOf(source, signal)) yield* lines;
}

async function* portionsOf(source: LineSource, signal: AbortSignal): AsyncGenerator<readonly string[], void> {
  const shown = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => source.mark(line)).filter((line) => line !== null);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source.open(signal)) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length >= LONGEST_LINE) {
      lines.push(rest);
      rest = '';
    }
    const portion = shown(lines);
    if (portion.length > 0) yield portion;
  }
  const last = rest === '' ? [] : shown([rest]);
  if (last.length > 0) yield last;
}
