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
  }
}

/** Sources that end, each in the order of its times, put together in that order. */
export async function* byTime(sources: readonly LineSource[], signal: AbortSignal): AsyncGenerator<string> {
  const readers = sources.map((source) => linesOf(source, signal));
  const heads = await Promise.all(readers.map(async (reader) => await reader.next()));
  for (;;) {
    let first = -1;
    for (const [index, { done }] of heads.entries()) {
      if (done !== true && (first < 0 || timeAt(heads, index) < timeAt(heads, first))) first = index;
    }
    const reader = readers[first];
    if (reader === undefined || signal.aborted) return;
    yield `${heads[first]?.value}\n`;
    heads[first] = await reader.next();
  }
}

function timeAt(heads: readonly IteratorResult<string, void>[], index: number): string {
  return /"time":"([^"]+)"/.exec(heads[index]?.value ?? '')?.[1] ?? '';
}

interface Next {
  readonly index: number;
  readonly result: IteratorResult<readonly string[]>;
}

async function nextOf(reader: AsyncGenerator<readonly string[]>, index: number): Promise<Next> {
  return { index, result: await reader.next() };
}

async function* linesOf(source: LineSource, signal: AbortSignal): AsyncGenerator<string, void> {
  for await (const lines of portionsOf(source, signal)) yield* lines;
}

async function* portionsOf(source: LineSource, signal: AbortSignal): AsyncGenerator<readonly string[]> {
  const shown = (lines: readonly string[]): readonly string[] =>
    lines.map((line) => source.mark(line)).filter((line) => line !== null);
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of source.open(signal)) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    const portion = shown(lines);
    if (portion.length > 0) yield portion;
  }
  const last = rest === '' ? [] : shown([rest]);
  if (last.length > 0) yield last;
}
