import { join } from 'node:path';
import { readIfThere, writeDurably } from '../../lib/files.ts';
import { readSourceRecord, sourceRecordPath, writeSourceRecord } from '../fetch-notes.ts';
import type { KnownLayer, Layer } from './layer-draft.ts';

/** A layer is remembered as part of this many models: one of them may have been tidied away. */
const CONTENTS_PER_LAYER = 4;

/** What images turned out to be, remembered between applies. Whatever is missing is asked for again. */
export class ImageRecords {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param name of the image, with its tag. @returns the digest that it had when it was fetched last */
  async digestOf(name: string): Promise<string | null> {
    return (await readSourceRecord(this.#namePath(name)))?.fingerprint ?? null;
  }

  async rememberDigest(name: string, digest: string, content: string): Promise<void> {
    const record = { fingerprint: digest, content, model: `oci://${name}` };
    await writeSourceRecord(this.#namePath(name), record);
  }

  /** @returns the hash of the model that the image of this digest holds */
  async contentOf(digest: string): Promise<string | null> {
    return (await this.#read<{ readonly content: string }>(this.#path(digest, 'image')))?.content ?? null;
  }

  async rememberContent(digest: string, content: string): Promise<void> {
    await this.#write(this.#path(digest, 'image'), { content });
  }

  async layerOf(digest: string): Promise<KnownLayer | null> {
    return await this.#read<KnownLayer>(this.#path(digest, 'layer'));
  }

  async rememberLayer(digest: string, { entries, tops }: Layer, content: string): Promise<void> {
    const before = (await this.layerOf(digest))?.contents ?? [];
    const contents = [...new Set([content, ...before])].slice(0, CONTENTS_PER_LAYER);
    await this.#write(this.#path(digest, 'layer'), { entries, tops, contents });
  }

  /** Held by whoever fetches that layer. */
  lockPath(digest: string): string {
    return this.#path(digest, 'layer-lock');
  }

  #namePath(name: string): string {
    return sourceRecordPath(this.#folder, `oci://${name}`);
  }

  #path(digest: string, kind: string): string {
    return join(this.#folder, `${digest.replace(/^sha256:/, '')}.${kind}.json`);
  }

  async #read<Value>(path: string): Promise<Value | null> {
    const text = await readIfThere(path);
    if (text === null) return null;
    try {
      return JSON.parse(text) as Value;
    } catch {
      return null; // half a record is none
    }
  }

  async #write(path: string, value: unknown): Promise<void> {
    await writeDurably(path, JSON.stringify(value));
  }
}
