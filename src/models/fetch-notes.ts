import { join } from 'node:path';
import { namesIn, readIfThere, writeDurably } from '../lib/files.ts';
import { sha256 } from '../lib/hash.ts';

/** What a URI's files looked like on the server when they were fetched, and what they are. */
export interface SourceRecord {
  readonly fingerprint: string;
  readonly content: string;
  /** the URI without its query; not in records of earlier versions */
  readonly model?: string;
}

/** What a folder where a URI's files grow is about, for who lists what is here. */
interface PartNote {
  readonly model: string;
  readonly totalBytes: number | null;
}

const RECORD = '.source.json';
const NOTE = 'model.json';

/** Where it is remembered what a URI's files turned out to be. */
export function sourceRecordPath(digestsDir: string, uri: string): string {
  return join(digestsDir, `${sha256(uri)}${RECORD}`);
}

/** Half a record is none: what it is about is fetched again. */
export async function readSourceRecord(path: string): Promise<SourceRecord | null> {
  return parsed<SourceRecord>(await readIfThere(path));
}

export async function writeSourceRecord(path: string, record: SourceRecord): Promise<void> {
  await writeDurably(path, JSON.stringify(record));
}

/** What was fetched from servers, under the URIs without their queries. */
export async function readFetchedNames(
  digestsDir: string,
): Promise<readonly { readonly model: string; readonly hash: string }[]> {
  const names = (await namesIn(digestsDir)).filter((name) => name.endsWith(RECORD));
  const records = await Promise.all(names.map((name) => readSourceRecord(join(digestsDir, name))));
  return records.flatMap((record) =>
    record?.model === undefined ? [] : [{ model: record.model, hash: record.content }],
  );
}

export async function writePartNote(folder: string, note: PartNote): Promise<void> {
  await writeDurably(join(folder, NOTE), JSON.stringify(note));
}

export async function readPartNote(folder: string): Promise<PartNote | null> {
  return parsed<PartNote>(await readIfThere(join(folder, NOTE)));
}

function parsed<Content>(text: string | null): Content | null {
  try {
    return text === null ? null : (JSON.parse(text) as Content);
  } catch {
    return null;
  }
}
