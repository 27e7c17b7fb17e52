import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StringDecoder } from 'node:string_decoder';
import { createGunzip, createGzip } from 'node:zlib';
import { codeOf } from '../../lib/errors.ts';
import type { HourRecord, SeriesStore } from './series-store.ts';

/** Written while requests of the head go on: in pieces, by zlib's threads, at the level that is quickest. */
export async function saveSeries(file: string, store: SeriesStore): Promise<void> {
  const temporary = `${file}.tmp`;
  await mkdir(dirname(file), { recursive: true });
  try {
    const lines = Readable.from(linesOf(store));
    await pipeline(lines, createGzip({ level: 1 }), createWriteStream(temporary, { mode: 0o600 }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function* linesOf(store: SeriesStore): Generator<string> {
  for (const record of store.records()) yield `${JSON.stringify(record)}\n`;
}

/** Takes in what was saved; nothing where there is no file. @throws where it is damaged: what came before that is in */
export async function loadSeries(file: string, store: SeriesStore): Promise<void> {
  try {
    await pipeline(createReadStream(file), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const line of lines(chunks)) store.restore(JSON.parse(line) as HourRecord);
    });
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

async function* lines(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunks) {
    const parts = (rest + decoder.write(chunk)).split('\n');
    rest = parts.pop() ?? '';
    yield* parts;
  }
}
