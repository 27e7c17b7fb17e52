import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { copyDigested, digestFile, digestTree } from '../../src/lib/file-digests.ts';
import { listTree } from '../../src/lib/tree.ts';
import { tempDir } from '../support/temp-dir.ts';

const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex');
const list = (folder: string) =>
  listTree(folder, { boundary: folder, isIgnored: () => false, maxEntries: 1_000, maxBytes: 1e9 });

test('a folder that has rested is looked at, not read; what changed in it is read', async () => {
  const [folder, cache] = [tempDir(), tempDir()];
  for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), name);
  const { ctimeMs } = statSync(join(folder, 'c'));
  await expect.poll(() => Date.now() - ctimeMs, { timeout: 30_000 }).toBeGreaterThan(2_100);
  const digest = async (): Promise<readonly string[]> =>
    (await digestTree(folder, await list(folder), cache)).map((file) => file.sha256);
  expect(await digest()).toEqual(['a', 'b', 'c'].map(sha256));
  const entry = join(cache, readdirSync(cache)[0] ?? '');
  writeFileSync(entry, readFileSync(entry, 'utf8').replaceAll(sha256('a'), sha256('from the entry')));
  writeFileSync(join(folder, 'b'), 'B');
  expect(await digest()).toEqual([sha256('from the entry'), sha256('B'), sha256('c')]);
  writeFileSync(entry, '{"a": [1');
  expect(await digest()).toEqual(['a', 'B', 'c'].map(sha256));
});

test('whoever asks for a digest can go on meanwhile', async () => {
  const file = join(tempDir(), 'large');
  writeFileSync(file, '');
  truncateSync(file, 256 * 1024 ** 2);
  let turns = 0;
  const counting = setInterval(() => {
    turns += 1;
  }, 1);
  await digestFile(file);
  clearInterval(counting);
  expect(turns).toBeGreaterThan(5);
});

test('a copy is what its digest says, read-only, and never goes over another file', async () => {
  const folder = tempDir();
  const [source, target] = [join(folder, 'from'), join(folder, 'to')];
  writeFileSync(source, 'content');
  const copy = { source, target, sizeBytes: 7, executable: true };
  expect(await copyDigested([copy])).toEqual([{ sizeBytes: 7, sha256: sha256('content') }]);
  expect(readFileSync(target, 'utf8')).toBe('content');
  expect(statSync(target).mode & 0o777).toBe(0o555);
  await expect(copyDigested([copy])).rejects.toMatchObject({ code: 'EEXIST' });
  await expect(digestFile(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
});
