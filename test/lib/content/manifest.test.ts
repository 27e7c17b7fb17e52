import { expect, test } from 'vitest';
import {
  type ContentFile,
  checkManifest,
  folderHash,
  isManifestOf,
  packageHash,
} from '../../../src/lib/content/manifest.ts';

const HASH = 'a'.repeat(64);
const file = (path: string, over: Partial<ContentFile> = {}): ContentFile => ({
  ...{ path, sizeBytes: 1, sha256: HASH, executable: false },
  ...over,
});

test.each([
  ['out of its folder', [file('../x')]],
  ['out of it further down', [file('a/../../x')]],
  ['an absolute path', [file('/etc/passwd')]],
  ['the folder itself', [file('.')]],
  ['an empty segment', [file('a//b')]],
  ['no name beside others', [file(''), file('b')]],
  ['a NUL', [file('a\0b')]],
  ['a backslash', [file('a\\..\\b')]],
  ['one path twice', [file('a'), file('a')]],
  ['a file as a folder', [file('a'), file('a/b')]],
  ['a negative size', [file('a', { sizeBytes: -1 })]],
  ['half a byte', [file('a', { sizeBytes: 0.5 })]],
  ['a hash that is a path', [file('a', { sha256: '../../x' })]],
])('is not taken: %s', (_what, files) => {
  expect(() => checkManifest(files)).toThrow(expect.objectContaining({ code: 'CONTENT_UNSAFE' }));
});

test('files below folders, and one file without a name, are taken', () => {
  checkManifest([file('algopkg/Echo/backend.py'), file('algopkg/Echo/..data/x'), file('a-b/c.d')]);
  checkManifest([file('')]);
});

test('a hash names a package, a folder or a file, and nothing else', () => {
  const files = [file('a'), file('b/c', { executable: true })];
  expect(isManifestOf(packageHash(files), files)).toBe(true);
  expect(isManifestOf(folderHash(files), files)).toBe(true);
  expect(isManifestOf(HASH, [file('')])).toBe(true);
  expect(isManifestOf(HASH, [file('a')])).toBe(false);
  expect(isManifestOf(packageHash(files), files.slice(1))).toBe(false);
});
