import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Chunk, RemoteDraft } from '../../src/models/remote-draft.ts';
import type { RemoteListing } from '../../src/models/remote-listing.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 ** 2;
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface Content {
  readonly path: string;
  readonly bytes: Buffer;
}

function listingOf(contents: readonly Content[], fingerprint = 'as it was'): RemoteListing {
  const files = contents.map(({ path, bytes }) => ({
    path,
    file: { key: path, sizeBytes: bytes.length, version: '"1"', hasRanges: true },
  }));
  return { files, totalBytes: contents.reduce((sum, { bytes }) => sum + bytes.length, 0), fingerprint };
}

async function openDraft(listing: RemoteListing, folder = join(tempDir(), 'draft')): Promise<RemoteDraft> {
  const draft = await RemoteDraft.open(folder, listing);
  onTestFinished(() => draft.close());
  return draft;
}

/** Fills a chunk as a server would, after `before` has had its way with the place. */
async function fill(
  draft: RemoteDraft,
  chunk: Chunk,
  contents: readonly Content[],
  before: (write: (bytes: Buffer) => void) => Promise<void> = async () => undefined,
): Promise<void> {
  const bytes = contents.find(({ path }) => path === chunk.path)?.bytes ?? Buffer.alloc(0);
  const { offset, length } = chunk.range ?? { offset: 0, length: bytes.length };
  await draft.fill(chunk, async ({ fd, position }) => {
    await before((wrong) => void writeSync(fd, wrong, 0, wrong.length, position));
    writeSync(fd, bytes, offset, length, position);
    return offset + length;
  });
}

function expected(contents: readonly Content[]) {
  return contents.map(({ path, bytes }) => ({
    ...{ path, sizeBytes: bytes.length, sha256: sha(bytes), executable: false },
  }));
}

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ''; // closed between the look and this
  }
}

describe('what is fetched from a server is hashed while it comes', () => {
  const contents = [
    { path: 'a', bytes: randomBytes(30 * MIB + 5) },
    { path: 'b/c', bytes: randomBytes(17) },
    { path: 'b/d', bytes: Buffer.alloc(0) },
    { path: 'b/e', bytes: randomBytes(9 * MIB) },
  ];

  it.each<[string, (chunks: readonly Chunk[]) => readonly Chunk[]]>([
    ['in order', (chunks) => chunks],
    ['the last first', (chunks) => [...chunks].reverse()],
    ['of several files in turn', (chunks) => [...chunks].sort((a, b) => (a.index % 3) - (b.index % 3))],
  ])('with its parts %s', async (_name, ordered) => {
    const draft = await openDraft(listingOf(contents));
    for (const chunk of ordered(draft.chunks)) await fill(draft, chunk, contents);
    expect(await draft.digest()).toEqual(expected(contents));
  });

  it('and never what a try has left that was made again', async () => {
    const draft = await openDraft(listingOf(contents));
    const [first, ...others] = draft.chunks as readonly [Chunk, ...Chunk[]];
    await fill(draft, first, contents, async (write) => {
      write(randomBytes(first.range?.length ?? 0));
      for (const chunk of others) await fill(draft, chunk, contents);
    });
    expect(await draft.digest()).toEqual(expected(contents));
  });

  it('and what an earlier run has left is hashed with it', async () => {
    const folder = join(tempDir(), 'draft');
    const earlier = await openDraft(listingOf(contents), folder);
    const left = earlier.chunks.filter(({ index }) => index % 2 === 0 || index === 1);
    for (const chunk of left) await fill(earlier, chunk, contents);
    await earlier.note();
    earlier.close();
    const draft = await openDraft(listingOf(contents), folder);
    const missing = draft.chunks.filter((chunk) => !draft.has(chunk));
    expect(missing.length).toBe(draft.chunks.length - left.length);
    for (const chunk of missing) await fill(draft, chunk, contents);
    expect(await draft.digest()).toEqual(expected(contents));
  });

  it('and nothing of what has been replaced meanwhile', async () => {
    const folder = join(tempDir(), 'draft');
    const earlier = await openDraft(listingOf(contents), folder);
    for (const chunk of earlier.chunks.slice(0, -1)) await fill(earlier, chunk, contents);
    await earlier.note();
    earlier.close();
    const fresh = contents.map(({ path, bytes }) => ({ path, bytes: randomBytes(bytes.length) }));
    const draft = await openDraft(listingOf(fresh, 'as it is'), folder);
    expect(draft.chunks.some((chunk) => draft.has(chunk))).toBe(false);
    for (const chunk of draft.chunks) await fill(draft, chunk, fresh);
    expect(await draft.digest()).toEqual(expected(fresh));
  });

  it('and says so when another program has written to it', async () => {
    const folder = join(tempDir(), 'draft');
    const draft = await openDraft(listingOf(contents), folder);
    const [last, ...others] = [...draft.chunks].reverse() as readonly Chunk[] as [Chunk, ...Chunk[]];
    for (const chunk of others) await fill(draft, chunk, contents);
    appendFileSync(join(folder, 'tree', 'b', 'e'), 'more');
    await fill(draft, last, contents);
    await expect(draft.digest()).rejects.toMatchObject({
      ...{ code: 'FILE_CHANGED', message: expect.stringMatching(/b\/e was changed by another program/) },
    });
  });

  it('until nobody wants it any more; then no file of it stays open', async () => {
    const folder = join(tempDir(), 'draft');
    const draft = await openDraft(listingOf(contents), folder);
    const open = (): number =>
      readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(folder)).length;
    const [first, ...others] = draft.chunks as readonly [Chunk, ...Chunk[]];
    await fill(draft, first, contents);
    await expect.poll(open).toBe(1);
    draft.close();
    await expect.poll(open).toBe(0);
    for (const chunk of others) await fill(draft, chunk, contents);
    await expect(draft.digest()).rejects.toMatchObject({ code: 'STOPPED' });
  });
});
