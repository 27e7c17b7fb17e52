import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareKeys } from '../../../src/models/listing/key-order.ts';
import { listFast } from '../../../src/models/listing/list-fast.ts';
import type { ModelSource, RemoteFile } from '../../../src/models/sources/types.ts';

/** A bucket in the order of UTF-8, in pages; counts what is asked of it, and how much at once. */
function bucketOf(keys: readonly string[], pageKeys: number, lists = true) {
  const sorted = [...new Set(keys)].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const seen = { requests: 0, atOnce: 0, most: 0 };
  const fileOf = (key: string): RemoteFile => ({ key, sizeBytes: 1, version: null, hasRanges: true });
  async function* list(
    prefix: string,
    signal: AbortSignal,
    after = '',
  ): AsyncGenerator<readonly RemoteFile[]> {
    const afterBytes = Buffer.from(after);
    let rest = sorted.filter(
      (key) => key.startsWith(prefix) && (after === '' || Buffer.compare(Buffer.from(key), afterBytes) > 0),
    );
    do {
      seen.requests += 1;
      seen.atOnce += 1;
      seen.most = Math.max(seen.most, seen.atOnce);
      await new Promise((resolve) => setImmediate(resolve));
      seen.atOnce -= 1;
      signal.throwIfAborted();
      yield rest.slice(0, pageKeys).map(fileOf);
      rest = rest.slice(pageKeys);
    } while (rest.length > 0);
  }
  const none = async (): Promise<never> => expect.fail('only listings are asked for');
  const source: ModelSource = {
    ...{ canList: true, canListAfter: lists, stat: none, list, read: none, readInto: none },
  };
  return { source, sorted, seen };
}

async function listed(source: ModelSource, prefix: string, workers: number): Promise<readonly string[]> {
  const keys: string[] = [];
  const signal = new AbortController().signal;
  await listFast(source, prefix, { workers, signal }, (files) => {
    const page = files.map((file) => file.key);
    expect(page).toEqual([...page].sort(compareKeys));
    keys.push(...page);
  });
  return keys.sort(compareKeys);
}

const pad = (value: number, width: number): string => String(value).padStart(width, '0');

describe('listing with several requests at once', () => {
  it('loses no key and gives none twice, whatever they are', async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'a',
        'b/',
        'models/',
        '%',
        '%2F',
        '+',
        ' ',
        'é',
        '\u{1f600}',
        '\ue000',
        '\uffee',
        '0',
        '9',
      ),
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 3 })
        .filter((text) => !/[\p{Cs}\p{Cn}]/u.test(text)),
    );
    const free = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
    const numbered = fc.nat(3000).map((value) => `run/${value}`);
    const padded = fc.nat(3000).map((value) => `a/very/deep/common/prefix/of/all/${pad(value, 6)}.bin`);
    const keys = fc.array(fc.oneof(free, numbered, padded), { maxLength: 400 });
    await fc.assert(
      fc.asyncProperty(
        keys,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 20 }),
        async (all, page, workers) => {
          const { source, sorted, seen } = bucketOf(all, page);
          expect(await listed(source, '', workers)).toEqual(sorted);
          expect(seen.most).toBeLessThanOrEqual(workers);
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each<[string, (index: number) => string]>([
    ['numbers with zeros in front', (index) => pad(index, 8)],
    ['numbers without', (index) => `step-${index}`],
    ['a tree', (index) => `data/part-${pad(Math.floor(index / 500), 4)}/file-${pad(index, 8)}.bin`],
    [
      'hashes',
      (index) => `blobs/${(Math.imul(index, 2654435761) >>> 0).toString(16).padStart(8, '0')}-${index}`,
    ],
  ])('shares %s evenly among those who ask', async (_name, keyOf) => {
    const { source, sorted, seen } = bucketOf(
      Array.from({ length: 20_000 }, (_, index) => keyOf(index)),
      100,
    );
    expect(await listed(source, '', 16)).toEqual(sorted);
    expect(seen.most).toBe(16);
    expect(seen.requests).toBeLessThan(3 * 200);
  });

  it('lists what lies below a prefix, and no more', async () => {
    const keys = ['a', 'b/', ...Array.from({ length: 50 }, (_, index) => `b/${index}`), 'b0', 'c/1'];
    const { source } = bucketOf(keys, 3);
    expect(await listed(source, 'b/', 4)).toEqual(keys.slice(1, -2).sort());
  });

  it('asks once where one page is all', async () => {
    const { source, seen, sorted } = bucketOf(['x/1', 'x/2'], 1000);
    expect(await listed(source, 'x/', 16)).toEqual(sorted);
    expect(seen.requests).toBe(1);
    expect(await listed(bucketOf([], 1000).source, '', 16)).toEqual([]);
  });

  it('goes page by page where a store cannot be asked for what follows a key', async () => {
    const keys = Array.from({ length: 100 }, (_, index) => pad(index, 3));
    const { source, seen } = bucketOf(keys, 10, false);
    expect(await listed(source, '', 16)).toEqual(keys);
    expect([seen.requests, seen.most]).toEqual([10, 1]);
  });

  it('refuses a store whose keys come in no order', async () => {
    const { source } = bucketOf(['a', 'b', 'c'], 10);
    const unordered: ModelSource = {
      ...source,
      async *list(prefix, signal) {
        for await (const page of source.list(prefix, signal)) yield [...page].reverse();
      },
    };
    await expect(listed(unordered, '', 4)).rejects.toMatchObject({ code: 'SOURCE_ORDER' });
  });

  it('ends with the first failure, and with its signal', async () => {
    const keys = Array.from({ length: 1000 }, (_, index) => pad(index, 4));
    const { source } = bucketOf(keys, 10);
    const full = new Error('no more room');
    const options = { workers: 8, signal: new AbortController().signal };
    const taking = listFast(source, '', options, () => {
      throw full;
    });
    await expect(taking).rejects.toBe(full);
    const stop = new AbortController();
    const enough = new Error('enough');
    const stopping = listFast(source, '', { workers: 8, signal: stop.signal }, () => stop.abort(enough));
    await expect(stopping).rejects.toBe(enough);
  });
});

describe('the order of keys', () => {
  it('is that of their bytes', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 6 }).filter((key) => !/\p{Cs}/u.test(key));
    const high = fc.constantFrom('\ue000', '\uffee', '\u{10000}', '\u{1f600}', '\ud7ff', 'a');
    const key = fc
      .tuple(text, fc.array(high, { maxLength: 3 }))
      .map(([start, rest]) => start + rest.join(''));
    fc.assert(
      fc.property(key, key, (left, right) => {
        const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right));
        expect(Math.sign(compareKeys(left, right))).toBe(bytes);
      }),
    );
  });
});
