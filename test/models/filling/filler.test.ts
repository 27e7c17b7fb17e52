import { randomBytes } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PieceSet } from '../../../src/lib/content/pieces.ts';
import { Filler, type FillerOptions } from '../../../src/models/filling/filler.ts';
import { sinkInto } from '../../../src/models/receive/target.ts';
import type { ReceiveOptions, Target } from '../../../src/models/receive/types.ts';
import type { ByteRange, ByteSink, ModelSource, RemoteFile } from '../../../src/models/sources/types.ts';
import { tempDir } from '../../support/temp-dir.ts';

const CHUNK = 100;
const never = new AbortController().signal;

/** A source whose every read waits until it is let go. */
class GatedSource implements ModelSource {
  readonly canList = false;
  readonly contents = new Map<string, Buffer>();
  readonly reads: { key: string; offset: number; go: () => void; fail: (error: Error) => void }[] = [];
  isOpen = true;

  async stat(): Promise<null> {
    return null;
  }

  async *list(): AsyncGenerator<readonly RemoteFile[]> {
    // nothing
  }

  async read(
    file: RemoteFile,
    range: ByteRange | null,
    sink: ByteSink,
    signal: AbortSignal,
  ): Promise<number> {
    const offset = range?.offset ?? 0;
    await new Promise<void>((resolve, reject) => {
      this.reads.push({ key: file.key, offset, go: resolve, fail: reject });
      signal.addEventListener('abort', () => reject(signal.reason));
      if (this.isOpen) resolve();
    });
    const content = this.contents.get(file.key) ?? Buffer.alloc(0);
    const bytes = content.subarray(offset, range === null ? content.length : offset + range.length);
    const half = Math.ceil(bytes.length / 2);
    await sink(bytes.subarray(0, half), offset);
    await sink(bytes.subarray(half), offset + half);
    return offset + bytes.length;
  }

  async readInto(
    file: RemoteFile,
    range: ByteRange | null,
    target: Target,
    { signal, onBytes }: ReceiveOptions,
  ): Promise<number> {
    return await this.read(file, range, sinkInto(target, range?.offset ?? 0, onBytes), signal);
  }

  /** the reads so far, as `key@offset` */
  get asked(): readonly string[] {
    return this.reads.map(({ key, offset }) => `${key}@${offset}`);
  }

  /** Those that began at the same time do so in any order. */
  sorted(from = 0): readonly string[] {
    return this.asked.slice(from).sort();
  }
}

interface World {
  readonly source: GatedSource;
  readonly filler: Filler;
  readonly ended: (readonly [name: string, error: string | null])[];
  path(name: string): string;
  read(name: string): Buffer;
}

function world(
  sizes: Readonly<Record<string, number>>,
  options: Partial<FillerOptions> & { readonly isGated?: boolean; readonly hasRanges?: boolean } = {},
): World {
  const dir = tempDir();
  const source = new GatedSource();
  source.isOpen = options.isGated !== true;
  const ended: (readonly [string, string | null])[] = [];
  const filler = new Filler(source, {
    ...{ connections: 2, chunkBytes: CHUNK },
    onFile: (path, error) => void ended.push([path.slice(dir.length + 1), error?.message ?? null]),
    ...options,
  });
  onTestFinished(async () => await filler.stop());
  const path = (name: string): string => join(dir, name);
  for (const [name, sizeBytes] of Object.entries(sizes)) {
    source.contents.set(name, randomBytes(sizeBytes));
    writeFileSync(path(name), '');
    truncateSync(path(name), sizeBytes);
    const remote = { key: name, sizeBytes, version: '"1"', hasRanges: options.hasRanges !== false };
    filler.add([{ remote, path: path(name) }]);
  }
  return { source, filler, ended, path, read: (name) => readFileSync(path(name)) };
}

describe('filling files', () => {
  it('fills all of them, each chunk once', async () => {
    const { source, filler, path, read, ended } = world({ a: 250, b: 100, empty: 0, c: 1 });
    await Promise.all(['a', 'b', 'empty', 'c'].map((name) => filler.whenFile(path(name), never)));
    for (const name of ['a', 'b', 'empty', 'c'])
      expect(read(name).equals(source.contents.get(name)!), name).toBe(true);
    expect(source.sorted()).toEqual(['a@0', 'a@100', 'a@200', 'b@0', 'c@0']);
    expect(new Map(ended)).toEqual(new Map(['a', 'b', 'empty', 'c'].map((name) => [name, null])));
    expect(filler.progress).toMatchObject({ fetchedBytes: 351, totalBytes: 351 });
  });

  it('keeps as many requests as it may, and takes waited ranges before files and files before the rest', async () => {
    const { source, filler, path } = world({ a: 300, b: 300, c: 300 }, { isGated: true, connections: 1 });
    const waiting = [
      filler.whenFile(path('c'), never),
      filler.whenRange(path('b'), { offset: 150, length: 100 }, never),
    ];
    filler.prioritise(path('b'));
    await expect.poll(() => source.asked).toEqual(['a@0']);
    source.isOpen = true;
    source.reads[0]?.go();
    await Promise.all(waiting);
    await filler.whenFile(path('a'), never);
    expect(source.asked).toEqual(['a@0', 'b@100', 'b@200', 'c@0', 'c@100', 'c@200', 'b@0', 'a@100', 'a@200']);
  });

  it('says that a range is there while the rest of its file is not', async () => {
    const { source, filler, path, read } = world({ a: 300 }, { isGated: true });
    const ready = filler.whenRange(path('a'), { offset: 210, length: 20 }, never);
    await expect.poll(() => source.sorted()).toEqual(['a@0', 'a@100']);
    source.reads[0]?.go();
    await expect.poll(() => source.asked).toContain('a@200');
    source.reads.at(-1)?.go();
    await ready;
    expect(read('a').subarray(200).equals(source.contents.get('a')!.subarray(200))).toBe(true);
    await filler.whenRange(path('a'), { offset: 300, length: 50 }, never); // there is nothing to wait for
  });

  it('rejects who waits for a file that fails; the others go on', async () => {
    const { source, filler, path, ended } = world({ a: 300, b: 100 }, { isGated: true });
    const whole = filler.whenFile(path('a'), never);
    const part = filler.whenRange(path('a'), { offset: 250, length: 1 }, never);
    whole.catch(() => undefined);
    part.catch(() => undefined);
    await expect.poll(() => source.reads.length).toBe(2);
    source.isOpen = true;
    source.reads[0]?.fail(new Error('the store is gone'));
    await expect(part).rejects.toThrow('the store is gone');
    await expect(whole).rejects.toThrow('the store is gone');
    await filler.whenFile(path('b'), never);
    await expect(filler.whenRange(path('a'), { offset: 0, length: 1 }, never)).rejects.toThrow('gone');
    expect(ended).toEqual([
      ['a', 'the store is gone'],
      ['b', null],
    ]);
  });

  it('fails a file of which something else comes than was announced, whole or in parts', async () => {
    for (const hasRanges of [true, false]) {
      const { source, filler, path, ended } = world({ a: 150 }, { hasRanges, isGated: true });
      source.contents.set('a', Buffer.alloc(120));
      source.isOpen = true;
      for (const read of source.reads) read.go();
      await expect(filler.whenFile(path('a'), never), `ranges: ${hasRanges}`).rejects.toThrow('120 bytes');
      expect(ended).toHaveLength(1);
    }
  });

  it('fetches a file whole where the server gives no parts of it', async () => {
    const { source, filler, path, read } = world({ a: 350 }, { hasRanges: false });
    await filler.whenRange(path('a'), { offset: 300, length: 10 }, never);
    expect(source.asked).toEqual(['a@0']);
    expect(read('a').equals(source.contents.get('a')!)).toBe(true);
  });

  it('goes on with what an earlier run has left', async () => {
    const { source, filler, path } = world({});
    source.contents.set('a', randomBytes(300));
    writeFileSync(path('a'), Buffer.alloc(300));
    const held = new PieceSet(3);
    held.add(1);
    const remote = { key: 'a', sizeBytes: 300, version: '"1"', hasRanges: true };
    filler.add([{ remote, path: path('a'), held }]);
    await filler.whenFile(path('a'), never);
    expect(source.sorted()).toEqual(['a@0', 'a@200']);
    expect(held.isFull).toBe(true);
    expect(filler.progress).toMatchObject({ fetchedBytes: 300, totalBytes: 300 });
  });

  it('fills no more than its budget until something is released, but for whom somebody waits', async () => {
    const { source, filler, path } = world({ a: 200, b: 200, c: 200 }, { budgetBytes: 250 });
    await filler.whenFile(path('a'), never);
    expect(source.sorted()).toEqual(['a@0', 'a@100']);
    await filler.whenFile(path('c'), never);
    expect(source.sorted(2)).toEqual(['c@0', 'c@100']);
    filler.release(path('c'));
    expect(source.asked).toHaveLength(4);
    filler.release(path('a'));
    await expect.poll(() => source.sorted(4)).toEqual(['b@0', 'b@100']);
  });

  it('gives up a file that is released, which can be added again', async () => {
    const { source, filler, path, ended } = world({ a: 300 }, { isGated: true, connections: 1 });
    const waiting = filler.whenFile(path('a'), never);
    filler.release(path('a'));
    await expect(waiting).rejects.toThrow('given up');
    source.isOpen = true;
    const remote = { key: 'a', sizeBytes: 300, version: '"1"', hasRanges: true };
    filler.add([{ remote, path: path('a') }]);
    await filler.whenFile(path('a'), never);
    expect(ended).toEqual([['a', null]]);
  });

  it('lets who waits learn of a file after its owner; what the owner throws is the failure', async () => {
    const { filler, path } = world(
      { a: 10 },
      {
        onFile: () => {
          throw new Error('the disk is full');
        },
      },
    );
    await expect(filler.whenFile(path('a'), never)).rejects.toThrow('the disk is full');
  });

  it('rejects all who wait when it stops, and who comes later; a signal ends one wait', async () => {
    const { filler, path } = world({ a: 300 }, { isGated: true });
    const leave = new AbortController();
    const left = filler.whenFile(path('a'), leave.signal);
    const waiting = filler.whenRange(path('a'), { offset: 0, length: 1 }, never);
    waiting.catch(() => undefined);
    leave.abort(new Error('enough'));
    await expect(left).rejects.toThrow('enough');
    const stopped = filler.stop();
    await expect(waiting).rejects.toThrow('stopped');
    await stopped;
    await expect(filler.whenFile(path('a'), never)).rejects.toThrow('stopped');
    await expect(filler.whenFile(path('z'), never)).rejects.toThrow('none of the files');
  });
});
